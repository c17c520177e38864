"""Sisy's worker under Channels' own ``manage.py runworker``."""

import asyncio
import signal
from collections.abc import Coroutine, Iterable
from typing import Any

from channels.consumer import AsyncConsumer

from sisy import conf
from sisy.messaging import messages
from sisy.runtime.log import logger
from sisy.runtime.run_until_stopped import STOP_SIGNALS, Service
from sisy.worker import Worker


class RunTaskConsumer(AsyncConsumer):
    """A consumer that wakes the worker of its channel's queue at each message."""

    # Runs are not executed in the handler: Channels' runworker handles one message at a time, and
    # loses the messages that it has read if a handler raises. A message only wakes a worker of the
    # same kind that ``manage.py sisy_worker`` runs.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Wake the worker for each message, until Channels cancels this."""
        # Channels' own dispatch would hop to a thread at each message, to close old connections.
        channel = scope.get("channel", "")
        while True:
            message = await receive()
            if messages.is_run_task(message):
                _hosted.wake(channel)
            else:
                logger.warning("Ignored an unknown message: %.200r", message)


class HostedWorkers:
    """The workers of a runworker process, one for each channel that has received a message.

    At SIGTERM or SIGINT, all workers stop, and the process exits when the last one has stopped.
    """

    # An event loop has only one handler for a signal, so all workers share it.
    def __init__(self) -> None:
        self._workers: dict[str, HostedWorker] = {}
        self._ending: asyncio.Task[Any] | None = None

    def wake(self, channel: str) -> None:
        """Start the worker of a channel, or wake it. Does nothing while the process drains."""
        if self._ending is None:
            if channel not in self._workers:
                self._workers[channel] = HostedWorker(_queue_of(channel))
                loop = asyncio.get_running_loop()
                for number in STOP_SIGNALS:
                    loop.add_signal_handler(number, self.drain, number)
            self._workers[channel].wake()

    def drain(self, number: int) -> None:
        """Stop all workers as ``manage.py sisy_worker`` does, and then end the process."""
        for hosted in self._workers.values():
            hosted.stop()
        if self._ending is None:
            ends = [hosted.end() for hosted in self._workers.values()]
            loop = asyncio.get_running_loop()
            self._ending = loop.create_task(_all(ends))
            self._ending.add_done_callback(lambda _: _end_process(number))


class HostedWorker:
    """A worker that starts at the first message, in the consumer's event loop."""

    def __init__(self, queue: str) -> None:
        self._worker = Worker(queues=(queue,))
        self._serving: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Start the worker, or wake it. Does nothing if it was asked to drain."""
        if self._worker.is_stopping:
            return
        if self._serving is None or self._serving.done():
            loop = asyncio.get_running_loop()
            self._serving = loop.create_task(Service(self._worker).run())
        self._worker.wake()

    def stop(self) -> None:
        """Stop when the current runs have finished. A second call releases them at once."""
        self._worker.stop()

    async def end(self) -> None:
        """Wait until the worker has ended."""
        if self._serving is not None:
            await asyncio.wait([self._serving])


_hosted = HostedWorkers()


def _queue_of(channel: str) -> str:
    prefix = conf.get_settings().run_task_channel
    return channel.removeprefix(prefix).removeprefix(".") or "default"


async def _all(ends: Iterable[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*ends)


def _end_process(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    asyncio.get_running_loop().remove_signal_handler(number)
    raise SystemExit(0)
