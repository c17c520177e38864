"""Receive messages over the channel layer."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sisy.messaging import sender
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Loop

# Seconds until the listener rejoins its groups, because layers expire members.
MEMBERSHIP_SECONDS = 3600.0

# Seconds without an error after which a channel works again, even if no message has come: other
# workers may have received them all. Longer than redis-py's timeout of 5 s, by which a wrongly
# configured client fails again and again.
CALM_SECONDS = 10.0

Receive = Callable[[Any], object]


class ChannelListener:
    """Receives the messages of some channels and groups.

    Args:
        channels, groups: what to call with each message to them.
    """

    def __init__(self, channels: Mapping[str, Receive], groups: Mapping[str, Receive]) -> None:
        self._channels = channels
        self._groups = groups
        self._addresses: dict[str, str] = {}  # this listener's own channel in each group
        self._receiving: dict[str, asyncio.Future[Any]] = {}  # by channel
        self._loops: list[Loop] = []
        self._listening: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start listening. Does nothing without a layer that reaches other processes."""
        if sender.shared_layer() is None:
            return
        receiving = {name: partial(self._receive, name) for name in self._channels}
        receiving |= {name: partial(self._receive_as_member, name) for name in self._groups}
        for name, step in receiving.items():
            loop = Loop(f"Listening on {name}", step)
            self._loops.append(loop)
            self._listening.append(asyncio.create_task(loop.run()))

    @property
    def is_live(self) -> bool:
        """Return whether messages arrive, as far as is known. Thread-safe."""
        has_joined = self._addresses.keys() >= self._groups.keys()
        return bool(self._loops) and has_joined and not any(one.is_failing for one in self._loops)

    async def close(self) -> None:
        """Stop listening."""
        self._loops.clear()
        # Those that receive come last: until a loop has ended, it may start to receive again.
        for ending in (self._listening, self._receiving.values()):
            for each in ending:
                each.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _receive(self, channel: str) -> float:
        """Receive one message, or continue to wait for it in the next step."""
        layer = sender.shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        receiving = self._receiving.get(channel)
        if receiving is None:
            receiving = asyncio.ensure_future(layer.receive(channel))
            self._receiving[channel] = receiving
        await asyncio.wait([receiving], timeout=CALM_SECONDS)
        if receiving.done():
            del self._receiving[channel]
            self._channels[channel](receiving.result())
        return 0.0

    async def _receive_as_member(self, group: str) -> float:
        """Join a group, or receive one message to it."""
        layer = sender.shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        if group not in self._addresses:
            address = await layer.new_channel()
            async with asyncio.timeout(sender.LAYER_TIMEOUT):
                await layer.group_add(group, address)
            self._addresses[group] = address
            return 0.0
        try:
            async with asyncio.timeout(MEMBERSHIP_SECONDS):
                message = await layer.receive(self._addresses[group])
        except TimeoutError:
            del self._addresses[group]
            return 0.0
        except Exception:
            # The layer may have restarted and forgotten this member, so join again.
            del self._addresses[group]
            raise
        self._groups[group](message)
        return 0.0
