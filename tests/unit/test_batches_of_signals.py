"""Sisy's own receivers hear of many changes at once; people's hear of each."""

import threading

import pytest

from sisy.models import Run
from sisy.runtime.signal_dispatch import ContainedSignal, SignalThread, has_receivers, send


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
    assert not has_receivers(signal, Run)

    def hear(**kwargs):
        pass

    signal.connect(hear, sender=ContainedSignal)
    assert not has_receivers(signal, Run)
    signal.connect(hear, sender=Run)
    assert has_receivers(signal, Run)
    signal.disconnect(hear, sender=Run)
    assert not has_receivers(signal, Run)
    signal.of_batches.append(hear)
    assert has_receivers(signal, Run)


@pytest.mark.django_db
def test_signals_are_sent_once_the_system_has_threads_again(signal, monkeypatch):
    batches, sending = [], SignalThread()
    signal.of_batches.append(batches.append)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", refuse)
        sending.add(signal, Run, [{"run": 1}])
    sending.add(signal, Run, [{"run": 2}])
    sending.flush(20)
    assert batches == [[{"run": 1}], [{"run": 2}]]
