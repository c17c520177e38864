"""Sisy's own receivers hear of many changes at once; people's hear of each."""

import pytest

from sisy.models import Run
from sisy.runtime.signal_dispatch import ContainedSignal, is_heard, send


@pytest.fixture
def signal():
    return ContainedSignal(use_caching=True)


def test_a_batch_is_received_once_and_each_change_by_other_receivers(signal):
    batches, changes = [], []
    signal.of_batches.append(batches.append)

    def hear(*, run, **kwargs):
        changes.append(run)

    signal.connect(hear)
    runs = [Run(pk=1), Run(pk=2)]
    send(signal, Run, [{"run": run} for run in runs])
    assert batches == [[{"run": run} for run in runs]]
    assert changes == runs


def test_a_receiver_that_fails_stops_neither_the_batch_nor_the_next_change(signal):
    batches, changes = [], []
    signal.of_batches.append(batches.append)

    def fail(*, run, **kwargs):
        changes.append(run)
        raise SystemExit

    signal.connect(fail)
    send(signal, Run, [{"run": 1}, {"run": 2}])
    assert (len(batches), changes) == (1, [1, 2])


def test_a_signal_is_heard_only_with_a_receiver_for_its_sender(signal):
    assert not is_heard(signal, Run)

    def hear(**kwargs):
        pass

    signal.connect(hear, sender=ContainedSignal)
    assert not is_heard(signal, Run)
    signal.connect(hear, sender=Run)
    assert is_heard(signal, Run)
    signal.disconnect(hear, sender=Run)
    assert not is_heard(signal, Run)
    signal.of_batches.append(hear)
    assert is_heard(signal, Run)
