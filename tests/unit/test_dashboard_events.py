"""What dashboards are told of runs that change."""

import asyncio
import os
from queue import Queue

import pytest
from channels.layers import channel_layers

from sisy import signals
from sisy.messaging import channel_layer, dashboard_events, messages
from sisy.messaging.dashboard_events import (
    MAX_TASKS_NAMED,
    Announcer,
)
from sisy.models import Run
from sisy.runtime import signal_dispatch

WAIT_TIMEOUT = 10  # seconds


class Heard:
    """A channel layer that keeps what is said."""

    def __init__(self):
        self._said = Queue()

    async def group_send(self, group, message):
        assert group == messages.EVENTS
        self._said.put(message)

    def next(self, announcer):
        """Wait for the next event of one announcer, and return it."""
        while True:  # those of earlier tests may still be on their way
            message = self._said.get(timeout=WAIT_TIMEOUT)
            if message["source"] == announcer._source:
                return message


@pytest.fixture
def layer(monkeypatch):
    layer = Heard()
    monkeypatch.setattr(channel_layer, "get_channel_layer", lambda: layer)
    return layer


def test_changes_are_grouped_and_later_ones_follow_together(layer):
    announcer = Announcer()
    announcer.add(1)
    one = layer.next(announcer)
    for task in (2, 3, 2):
        announcer.add(task)
    rest = layer.next(announcer)
    assert (one["tasks"], rest["tasks"]) == ([1], [2, 3])
    assert (one["seq"], rest["seq"]) == (0, 1)
    assert one["source"] == rest["source"]


def test_a_message_about_thousands_of_changes_names_a_few(layer, monkeypatch):
    # On a busy host, the changes below take longer than the usual 20 ms.
    monkeypatch.setattr(dashboard_events, "GATHER_SECONDS", 1.0)
    announcer = Announcer()
    for n in range(MAX_TASKS_NAMED + 1):
        announcer.add(n)
    for _ in range(5000):
        announcer.add(MAX_TASKS_NAMED + 1)
    message = layer.next(announcer)
    assert len(message["tasks"]) == MAX_TASKS_NAMED
    assert message["more"] is True


def test_two_processes_are_different_sources(layer):
    announcers = Announcer(), Announcer()
    for announcer in announcers:
        announcer.add(1)
    one, other = map(layer.next, announcers)
    assert one["source"] != other["source"]


def test_a_forked_process_is_another_source():
    receiver, sender = os.pipe()
    if (child := os.fork()) == 0:
        os.write(sender, dashboard_events._announcer._source.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(sender)
    with open(receiver) as pipe:
        assert pipe.read() not in ("", dashboard_events._announcer._source)


def test_runs_of_deleted_tasks_are_announced_too(layer):
    announcer = Announcer()
    announcer.add(None)
    message = layer.next(announcer)
    assert message["tasks"] == []


def test_without_a_layer_no_event_is_kept(monkeypatch):
    monkeypatch.setattr(channel_layer, "get_channel_layer", lambda: None)
    announcer = Announcer()
    announcer.add(1)
    assert not announcer._tasks


def test_rejected_messages_leave_a_gap_in_the_count(layer, monkeypatch):
    asked = Queue()

    async def fail(*args):
        asked.put(args)
        raise OSError("away")

    announcer = Announcer()
    with monkeypatch.context() as away:
        away.setattr(layer, "group_send", fail)
        announcer.add(1)
        asked.get(timeout=WAIT_TIMEOUT)
    announcer.add(2)
    message = {"tasks": []}
    while message["tasks"] != [2]:  # before it, another one may tell that the layer is back
        message = layer.next(announcer)
    assert message["seq"] >= 1


@pytest.mark.parametrize("name", [name for name in vars(signals) if name.startswith("run_")])
def test_each_signal_of_a_run_is_an_event(name, layer, monkeypatch):
    announcer = Announcer()
    monkeypatch.setattr(dashboard_events, "_announcer", announcer)
    signal_dispatch.send(getattr(signals, name), Run, [{"run": Run(task_id=7)}])
    message = layer.next(announcer)
    assert message["tasks"] == [7]


async def test_an_in_memory_layer_is_used_from_the_loop_of_its_consumers(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    channel_layers.backends = {}
    layer = channel_layers["default"]
    mine = await layer.new_channel()
    await layer.group_add(messages.EVENTS, mine)
    announcer = Announcer()
    announcer.add(1)  # nobody could hear it
    with channel_layer.local_loop():
        await asyncio.to_thread(announcer.add, 2)
        message = {"source": ""}
        async with asyncio.timeout(WAIT_TIMEOUT):
            while message["source"] != announcer._source:
                message = await layer.receive(mine)
    assert message["tasks"] == [2]
    channel_layers.backends = {}
