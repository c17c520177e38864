"""Hears the rings on the channel layer."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from sisy import conf, doorbell, messages
from sisy.log import logger
from sisy.loop import Loop


class Ears:
    """Listens on the channels of ``queues`` and calls ``wake`` when one rings."""

    def __init__(self, queues: Iterable[str], wake: Callable[[], None]) -> None:
        self._queues = tuple(queues)
        self._wake = wake
        self._listening: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to listen, where there is a layer that reaches other processes."""
        if doorbell.shared_layer() is None:
            return
        for queue in self._queues:
            channel = conf.get_settings().channel_of(queue)
            loop = Loop(f"listening on {channel}", lambda channel=channel: self._hear(channel))  # type: ignore[misc]
            self._listening.append(asyncio.create_task(loop.run()))

    async def close(self) -> None:
        """Stop listening."""
        for listening in self._listening:
            listening.cancel()
        for listening in self._listening:
            with suppress(asyncio.CancelledError):
                await listening

    async def _hear(self, channel: str) -> float:
        layer = doorbell.shared_layer()
        if layer is None:
            return 60.0
        message = await layer.receive(channel)
        if messages.is_run_task(message):
            self._wake()
        else:
            logger.warning("Dropped a message on %s that is not Sisy's: %.200r", channel, message)
        return 0.0
