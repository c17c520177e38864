"""Receive messages over the channel layer."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from sisy.messaging import sender
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Loop

# Seconds until the listener rejoins its groups, because layers expire members.
MEMBERSHIP_SECONDS = 3600.0

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
        for listening in self._listening:
            listening.cancel()
        for listening in self._listening:
            with suppress(asyncio.CancelledError):
                await listening

    async def _receive(self, channel: str) -> float:
        layer = sender.shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        self._channels[channel](await layer.receive(channel))
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
