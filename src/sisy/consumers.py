"""Sisy's worker under Channels' own ``manage.py runworker``."""

import asyncio
import signal
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer

from sisy import conf, messages
from sisy.log import logger
from sisy.service import STOP_SIGNALS, Service
from sisy.worker import Worker


class RunTaskConsumer(AsyncConsumer):
    """Wakes the worker of its channel's queue; does no user work inside the handler.

    Channels' runworker handles one message at a time, and loses those it has read when a handler
    raises. So each message only wakes the same worker that ``manage.py sisy_worker`` runs.
    """

    _workers: ClassVar[dict[str, "HostedWorker"]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Wake the worker for each message; `dispatch` and its database hop are not needed."""
        hosted = self._worker_of(scope.get("channel", ""))
        while True:
            message = await receive()
            if messages.is_run_task(message):
                hosted.wake()
            else:
                logger.warning("Dropped a message that is not Sisy's: %.200r", message)

    @classmethod
    def _worker_of(cls, channel: str) -> "HostedWorker":
        if channel not in cls._workers:
            prefix = conf.get_settings().run_task_channel
            queue = channel.removeprefix(prefix).removeprefix(".") or "default"
            cls._workers[channel] = HostedWorker(queue)
        return cls._workers[channel]


class HostedWorker:
    """A worker that starts at the first message, in the loop of whoever runs the consumer."""

    def __init__(self, queue: str) -> None:
        self._worker = Worker(queues=(queue,))
        self._serving: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Start the worker, or have it look for runs; one that was asked to drain stays away."""
        if self._worker.is_stopping:
            return
        if self._serving is None or self._serving.done():
            loop = asyncio.get_running_loop()
            for number in STOP_SIGNALS:
                loop.add_signal_handler(number, self._drain, number)
            self._serving = loop.create_task(Service(self._worker).run())
        self._worker.wake()

    def _drain(self, number: int) -> None:
        """Stop as ``manage.py sisy_worker`` does, and let runworker end after that."""
        self._worker.stop()
        assert self._serving is not None
        self._serving.add_done_callback(lambda _: _end_process(number))


def _end_process(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    asyncio.get_running_loop().remove_signal_handler(number)
    raise SystemExit(0)
