"""Listen on the channel layer for rings and for control messages to workers."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from sisy import conf
from sisy.messaging import messages, sender
from sisy.runtime.log import logger
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Loop

# Seconds until the worker rejoins its group, because layers expire members.
MEMBERSHIP_SECONDS = 3600.0


class ChannelListener:
    """Listens for messages and turns them into callbacks.

    Args:
        queues: the queues on whose channels to listen for rings.
        wake: called for each ring.
        on_control: called for each control message, such as a cancel request.
    """

    def __init__(
        self, queues: Iterable[str], wake: Callable[[], None], on_control: Callable[[], None]
    ) -> None:
        self._queues = tuple(queues)
        self._wake = wake
        self._on_control = on_control
        self._address: str | None = None  # this worker's channel in the group of workers
        self._listening: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start listening. Does nothing without a layer that reaches other processes."""
        if sender.shared_layer() is None:
            return
        steps = {messages.WORKERS: self._hear_orders}
        for queue in self._queues:
            channel = conf.get_settings().channel_of(queue)
            steps[channel] = partial(self._hear_rings, channel)
        for name, step in steps.items():
            loop = Loop(f"Listening on {name}", step)
            self._listening.append(asyncio.create_task(loop.run()))

    async def close(self) -> None:
        """Stop listening."""
        for listening in self._listening:
            listening.cancel()
        for listening in self._listening:
            with suppress(asyncio.CancelledError):
                await listening

    async def _hear_rings(self, channel: str) -> float:
        layer = sender.shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        message = await layer.receive(channel)
        if messages.is_run_task(message):
            self._wake()
        else:
            logger.warning("Ignored an unknown message on %s: %.200r", channel, message)
        return 0.0

    async def _hear_orders(self) -> float:
        """Join the group of workers, or receive one message to it."""
        layer = sender.shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        if self._address is None:
            address = await layer.new_channel()
            async with asyncio.timeout(sender.LAYER_TIMEOUT):
                await layer.group_add(messages.WORKERS, address)
            self._address = address
            return 0.0
        try:
            async with asyncio.timeout(MEMBERSHIP_SECONDS):
                message = await layer.receive(self._address)
        except TimeoutError:
            self._address = None
            return 0.0
        except Exception:
            # The layer may have restarted and forgotten this member, so join again.
            self._address = None
            raise
        if messages.is_control(message):
            self._on_control()
        else:
            logger.warning("Ignored an unknown message to workers: %.200r", message)
        return 0.0
