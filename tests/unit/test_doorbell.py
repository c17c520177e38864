"""Rings reach listeners in this process at once, and others by one message a queue."""

import asyncio
import logging
import queue
import threading
from functools import partial

import pytest
from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer, channel_layers

from sisy.messaging import channel_layer, doorbell
from sisy.models import Run
from sisy.runtime import loop
from sisy.runtime.log import Outage
from tests.support.moments import NOON


class RecordingLayer:
    def __init__(self, *errors):
        self.errors = list(errors)
        self.sent = queue.SimpleQueue()

    async def send(self, channel, message):
        self.sent.put((channel, message["run"], threading.current_thread().name))
        if self.errors and (error := self.errors.pop(0)):
            raise error

    group_send = send


@pytest.fixture(autouse=True)
def no_outage(monkeypatch):
    monkeypatch.setattr(channel_layer, "_outage", Outage("The channel layer"))
    monkeypatch.setattr(loop, "FIRST_RETRY_DELAY", 0)


@pytest.fixture
def layer(monkeypatch):
    layer = RecordingLayer()
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer)
    return layer


def run(pk, queue="default"):
    return Run(pk=pk, queue=queue, ready_at=NOON)


def received(layer, count):
    """Return the next messages, and make sure that no more were sent before the last of them."""
    found = [layer.sent.get(timeout=60)[:2] for _ in range(count)]
    assert layer.sent.empty()
    return found


def test_a_burst_is_one_message_a_queue_that_names_the_first_run(layer):
    doorbell.ring([run(1), run(2), run(3, "slow"), run(4), run(5, "slow")])
    assert sorted(received(layer, 2)) == [("sisy.run_task", 1), ("sisy.run_task.slow", 3)]
    doorbell.ring([run(6)])
    assert received(layer, 1) == [("sisy.run_task", 6)]


def test_without_runs_the_doorbell_does_not_ring(layer):
    doorbell.ring([])
    doorbell.ring(iter([run(1)]))
    assert received(layer, 1) == [("sisy.run_task", 1)]


def test_a_cancel_request_reaches_local_listeners_and_the_worker_group(layer):
    obeyed = []
    with doorbell.listening(["default"], lambda: None, lambda: obeyed.append("here")):
        doorbell.on_cancel_requested(pks=[7, 8])
    doorbell.on_cancel_requested(pks=[9])
    assert obeyed == ["here"]
    assert received(layer, 2) == [("sisy.workers", 7), ("sisy.workers", 9)]


def test_channels_are_named_by_the_settings(layer, settings):
    settings.SISY_RUN_TASK_CHANNEL = "jobs"
    doorbell.ring([run(1), run(2, "slow")])
    assert sorted(received(layer, 2)) == [("jobs", 1), ("jobs.slow", 2)]


def test_all_rings_leave_from_one_thread(layer):
    for pk in range(3):
        threading.Thread(target=doorbell.ring, args=([run(pk, f"queue-{pk}")],)).start()
    assert {layer.sent.get(timeout=60)[2] for _ in range(3)} == {"sisy-doorbell"}


async def test_a_ring_from_an_event_loop_does_not_block_it(layer):
    doorbell.ring([run(1)])
    assert await asyncio.to_thread(received, layer, 1) == [("sisy.run_task", 1)]


def test_listeners_in_this_process_are_woken_immediately(monkeypatch):
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: None)
    woken = []
    with doorbell.listening(["default", "slow"], lambda: woken.append("both")):
        with doorbell.listening(["slow"], lambda: woken.append("slow")):
            doorbell.ring([run(1), run(2)])
            assert woken == ["both"]
            doorbell.ring([run(3, "slow")])
            assert sorted(woken[1:]) == ["both", "slow"]
        doorbell.ring([run(4, "other")])
        assert len(woken) == 3
    doorbell.ring([run(5)])
    assert len(woken) == 3


def test_the_signal_of_committed_runs_rings(layer):
    doorbell.on_runs_queued([{"runs": [run(1)]}])
    assert received(layer, 1) == [("sisy.run_task", 1)]


async def test_a_layer_outage_and_its_recovery_are_each_logged_once(caplog):
    """While it is away, failures of the same kind are not logged again."""
    caplog.set_level(logging.INFO, "sisy")
    layer = RecordingLayer(OSError("refused"), OSError("refused"), None)
    await channel_layer._send(partial(layer.send, "sisy.run_task", {"run": 1}), "sisy.run_task")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "The channel layer failed (OSError: refused); workers find queued runs by polling",
        ),
        ("INFO", "The channel layer works again after 2 failures"),
    ]
    assert layer.sent.qsize() == 3


async def test_resending_ends_once_another_message_was_delivered(monkeypatch):
    monkeypatch.setattr(loop, "FIRST_RETRY_DELAY", 0.001)
    layer = RecordingLayer(OSError("refused"))
    first = asyncio.create_task(
        channel_layer._send(partial(layer.send, "sisy.run_task", {"run": 1}), "sisy.run_task")
    )
    await asyncio.sleep(0)
    await channel_layer._send(partial(layer.send, "sisy.run_task", {"run": 2}), "sisy.run_task")
    await first
    assert [run for _, run, _ in (layer.sent.get(), layer.sent.get())] == [1, 2]
    assert layer.sent.empty()


async def test_a_full_channel_is_logged_once_while_others_accept_messages(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "sisy")
    monkeypatch.setattr(channel_layer, "FULL_CALM_SECONDS", 0.0)
    layer = RecordingLayer(ChannelFull(), None, ChannelFull(), None, None)
    for channel in ("full", "other", "full", "other", "full"):
        await channel_layer._send(partial(layer.send, channel, {"run": 1}), channel)
    outage, recovery = [record.getMessage() for record in caplog.records]
    assert outage.startswith("The channel full failed (ChannelFull);")
    assert "2 failures" in recovery


async def test_a_channel_that_is_full_now_and_then_is_logged_once(caplog):
    caplog.set_level(logging.INFO, "sisy")
    layer = RecordingLayer(*[ChannelFull(), None] * 3)
    for _ in range(6):
        await channel_layer._send(partial(layer.send, "crowded", {"run": 1}), "crowded")
    [outage] = [record.getMessage() for record in caplog.records]
    assert outage.startswith("The channel crowded failed (ChannelFull);")


async def test_a_layer_that_never_answers_is_given_up(caplog, monkeypatch):
    class SilentLayer:
        asked = 0

        async def send(self, channel, message):
            self.asked += 1
            if self.asked == 1:
                await asyncio.Event().wait()

    limit = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda seconds: limit(seconds / 1000))
    layer = SilentLayer()
    await channel_layer._send(partial(layer.send, "sisy.run_task", {}), "sisy.run_task")
    assert "The channel layer failed (TimeoutError)" in caplog.text
    assert layer.asked == 2


def test_a_layer_in_memory_reaches_no_other_process(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    assert isinstance(channel_layers["default"], InMemoryChannelLayer)
    assert channel_layer.shared_layer() is None
    doorbell.ring([run(1)])


def test_without_a_layer_nothing_is_sent(settings):
    settings.CHANNEL_LAYERS = {}
    assert channel_layer.shared_layer() is None
    doorbell.ring([run(1)])
