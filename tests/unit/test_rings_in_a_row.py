"""Submissions in a row share rings, and none of them is left without one."""

import os
import queue
import time
from types import SimpleNamespace

import pytest

from sisy.messaging import channel_layer, doorbell
from sisy.models import Run
from tests.support.moments import NOON


class RecordingLayer:
    def __init__(self):
        self.sent = queue.SimpleQueue()

    async def send(self, channel, message):
        self.sent.put((channel, message["run"]))

    def next(self, count):
        return [self.sent.get(timeout=60) for _ in range(count)]


@pytest.fixture
def layer(monkeypatch):
    layer = RecordingLayer()
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer)
    monkeypatch.setattr(doorbell, "_paces", {})
    return layer


@pytest.fixture
def at(monkeypatch):
    """Return a function that sets the time in seconds."""
    moments = [0.0]
    monkeypatch.setattr(doorbell, "time", SimpleNamespace(monotonic=lambda: moments[0]))
    return lambda seconds: moments.__setitem__(0, seconds)


def ring(pk, name="default"):
    doorbell.ring([Run(pk=pk, queue=name, ready_at=NOON)])


def test_runs_that_follow_each_other_shortly_share_a_ring_after_the_first(layer, at):
    for pk, moment in enumerate((100, 100.001, 100.002, 100.003, 100.01, 100.011, 100.5), 1):
        at(moment)
        ring(pk)
    # 3 and 4 share the ring of 2, and 6 that of 5.
    assert sorted(layer.next(4)) == [("sisy.run_task", pk) for pk in (1, 2, 5, 7)]
    assert layer.sent.empty()


def test_every_queue_has_rings_of_its_own(layer, at):
    at(100)
    ring(1)
    ring(2, "slow")
    assert sorted(layer.next(2)) == [("sisy.run_task", 1), ("sisy.run_task.slow", 2)]


def test_a_ring_leaves_after_the_last_of_many_runs(layer, monkeypatch):
    """So that a worker that claimed while they were submitted claims the last one as well."""

    async def send(channel, message):
        layer.sent.put(time.monotonic())

    monkeypatch.setattr(layer, "send", send)
    for pk in range(1000):
        ring(pk)
    last = time.monotonic()
    ring(1000)
    while layer.sent.get(timeout=60) < last:
        pass


def test_listeners_in_this_process_are_woken_for_every_ring(layer):
    woken = []
    with doorbell.listening(["default"], lambda: woken.append(1)):
        for pk in range(5):
            ring(pk)
    assert len(woken) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_a_forked_child_rings_though_its_parent_has_just_rung(layer, at):
    at(100)
    ring(1)
    ring(2)
    layer.next(2)
    answer, told = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            ring(3)
            os.write(told, str(layer.sent.get(timeout=60)[1]).encode())
        finally:
            os._exit(0)
    os.close(told)
    assert os.read(answer, 9) == b"3"
    os.waitpid(pid, 0)


def test_a_ring_that_an_earlier_one_covers_looks_up_no_layer(layer, at, monkeypatch):
    looked = []

    def look():
        looked.append(True)
        return layer

    monkeypatch.setattr(channel_layer, "shared_layer", look)
    for pk, moment in enumerate((100, 100.001, 100.002, 100.003, 100.5), 1):
        at(moment)
        ring(pk)
    assert len(looked) == 3  # for 1, for 2, which 3 and 4 share, and for 5
