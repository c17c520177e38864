"""A listener knows whether messages arrive, so that a process that can be rung may look less."""

import asyncio
from collections import defaultdict

import pytest

from sisy.messaging import channel_layer
from sisy.messaging.channel_layer import ChannelListener
from sisy.runtime import loop


class Layer:
    """A layer whose channels get the messages and errors of a test."""

    def __init__(self):
        self.channels = defaultdict(asyncio.Queue)
        self.accepts_members = asyncio.Event()
        self.heard = asyncio.Event()

    async def new_channel(self):
        return "own"

    async def group_add(self, group, channel):
        await self.accepts_members.wait()

    async def receive(self, channel):
        found = await self.channels[channel].get()
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
async def layer(monkeypatch):
    monkeypatch.setattr(loop, "FIRST_RETRY_DELAY", 0.01)
    layer = Layer()
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer)
    return layer


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_member_of_a_group_is_live_from_when_it_has_joined_until_it_is_closed(layer):
    listener = ChannelListener({}, {"group": lambda message: None})
    assert not listener.is_live
    listener.open()
    await asyncio.sleep(0)
    assert not listener.is_live
    layer.accepts_members.set()
    await until(lambda: listener.is_live)
    await listener.close()
    assert not listener.is_live


async def test_a_listener_is_not_live_during_an_outage_of_its_layer(layer):
    heard = []
    listener = ChannelListener({"channel": heard.append}, {"group": heard.append})
    layer.accepts_members.set()
    listener.open()
    await until(lambda: listener.is_live)
    for channel in ("channel", "own"):
        layer.channels[channel].put_nowait(OSError("refused"))
    await until(lambda: not listener.is_live)
    for channel in ("channel", "own"):
        layer.channels[channel].put_nowait({"n": 1})
    await until(lambda: heard and listener.is_live)
    await listener.close()


async def test_a_channel_whose_messages_others_get_works_again_after_a_while(
    layer, monkeypatch, caplog
):
    monkeypatch.setattr(channel_layer, "LISTENING_CALM_SECONDS", 0.01)
    listener = ChannelListener({"channel": print}, {})
    listener.open()
    layer.channels["channel"].put_nowait(OSError("refused"))
    await until(lambda: "Listening on channel works again after 1 failure" in caplog.text)
    assert listener.is_live
    await listener.close()


async def test_no_message_is_lost_while_a_quiet_channel_is_looked_after(layer, monkeypatch):
    monkeypatch.setattr(channel_layer, "LISTENING_CALM_SECONDS", 0.001)
    heard = []
    listener = ChannelListener({"channel": heard.append}, {})
    listener.open()
    for number in range(20):
        layer.channels["channel"].put_nowait(number)
        await asyncio.sleep(0.002)
    await until(lambda: heard == list(range(20)))
    await listener.close()
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_without_a_layer_that_others_share_no_listener_is_live(monkeypatch):
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: None)
    listener = ChannelListener({"channel": print}, {})
    listener.open()
    assert not listener.is_live
    await listener.close()
