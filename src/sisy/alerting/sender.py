"""Sends the messages of the outbox, alongside the passes of a heartbeat.

Each channel with messages gets a thread of its own while it has some. So a server that hangs
delays neither the passes nor the other channels. A thread that hangs for a minute is left behind,
and its message is tried again like any that failed. After a failure, the channel pauses, so that a
server that is down is not contacted for each message.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from django.db import connections

from sisy import clock
from sisy.alerting import sending
from sisy.alerting.channels import channel_named
from sisy.alerting.delivery import NotDelivered
from sisy.models.outbox import OutboxMessage
from sisy.runtime.log import Outage
from sisy.runtime.loop import Loop, retry_delay
from sisy.runtime.threads import DaemonThreads
from sisy.store.database_thread import DatabaseThread

IDLE_INTERVAL = 60.0  # seconds until the next step, unless `wake` is called before
END_TIMEOUT = 5.0  # seconds that a stopping heartbeat waits for messages that are being sent
FIRST_REST = 1.0  # seconds, doubled after each failure in a row
MAX_REST = 30.0
SEND_TIMEOUT = 55.0  # seconds for a channel to send a message; less than a claim
MAX_HANGING = 5  # threads of a channel that hang; with so many, nothing more is sent to it
RECORD_TIMEOUT = sending.CLAIM.total_seconds()

Answer = asyncio.Future[NotDelivered | None]
"""The result of `sending.attempt`, which is called in another thread."""


class Sender:
    """Sends what is due to each channel: when it is woken, and once a minute.

    Args:
        using: the alias of the database.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._database = DatabaseThread("sisy-outbox")
        self._loop = Loop("Sending messages", self._step)
        self._routes: dict[str, Route] = {}

    def wake(self) -> None:
        """Look for messages now. Thread-safe; may also be called before and after `running`."""
        self._loop.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send messages in an ``async with`` block."""
        looking = asyncio.create_task(self._loop.run())
        try:
            yield
        finally:
            # A message that is claimed now would wait for the end of its claim.
            self._loop.stop()
            for route in self._routes.values():
                route.stop()
            busy = [route.work for route in self._routes.values() if route.work is not None]
            await asyncio.wait([looking, *busy], timeout=END_TIMEOUT)
            await self._database.close()

    async def _step(self) -> float:
        names = await self._database.run(_due_channels, self._using)
        if self._loop.is_stopping:
            return IDLE_INTERVAL
        for name in names:
            if name not in self._routes:
                self._routes[name] = Route(self._using, name, self._database)
            self._routes[name].start()
        return IDLE_INTERVAL


class Route:
    """The delivery of messages to one channel.

    Args:
        database: the thread for all statements, so that a thread that hangs has no connection.

    Attributes:
        work: sends what is due; done if nothing is left, or if a message failed.
    """

    def __init__(self, using: str, name: str, database: DatabaseThread) -> None:
        self._using = using
        self._name = name
        self._database = database
        self._outage = Outage(f"Sending messages to the channel {name!r}")
        self._rests_until = 0.0
        self._is_stopping = False
        self._hanging = 0
        self._recording: set[asyncio.Task[None]] = set()
        self.work: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Claim no more messages. The one that is being sent is sent and recorded."""
        self._is_stopping = True

    def start(self) -> None:
        """Send what is due, unless the channel is busy, pauses or hangs."""
        is_busy = self.work is not None and not self.work.done()
        is_busy = is_busy or self._hanging >= MAX_HANGING
        if not is_busy and clock.steady() >= self._rests_until:
            self.work = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        thread = DaemonThreads(f"sisy-send-{self._name}", size=1)
        try:
            while not self._is_stopping and await self._send_next(thread):
                pass
            await self._database.run(_prune, self._using)
        except Exception as error:  # noqa: BLE001 - the border around our own steps
            self._note(error)
        finally:
            thread.shutdown(wait=False)

    async def _send_next(self, thread: DaemonThreads) -> bool:
        """Send one message. Return whether to continue with the next one."""
        message = await self._database.run(self._claim)
        if message is None:
            return False
        channel = partial(channel_named, self._name)
        send = partial(sending.attempt, channel, message)
        answer = asyncio.get_running_loop().run_in_executor(thread, send)
        await asyncio.wait([answer], timeout=SEND_TIMEOUT)
        error = answer.result() if answer.done() else self._leave(answer, message)
        self._note(error)
        await self._record(message, error)
        return error is None

    def _leave(self, answer: Answer, message: OutboxMessage) -> NotDelivered:
        """Leave a message to its thread, and return the error. If it is sent late, record that."""

        # A project's mail backend may have no timeout, and a server may send a byte now and then.
        # Otherwise, nothing would be sent to the channel until the next start.
        def end(answer: Answer) -> None:
            self._hanging -= 1
            if not answer.cancelled() and answer.result() is None:
                recording = asyncio.create_task(self._record(message, None))
                self._recording.add(recording)
                recording.add_done_callback(self._recording.discard)

        self._hanging += 1
        answer.add_done_callback(end)
        return NotDelivered(f"The message was not sent within {SEND_TIMEOUT:g} s")

    def _claim(self) -> OutboxMessage | None:
        """Claim a message in the thread of the database, which may have been busy for a while."""
        if self._is_stopping:
            return None
        return sending.claim(self._using, clock.now(self._using), self._name)

    async def _record(self, message: OutboxMessage, error: NotDelivered | None) -> None:
        """Record what happened to a message. Try again while the database is away."""
        began, failures = clock.steady(), 0
        while True:
            try:
                await self._database.run(_record, self._using, message, error)
            except Exception:
                # Later, another sender has the message.
                if clock.steady() - began > RECORD_TIMEOUT:
                    raise
                failures += 1
                await asyncio.sleep(retry_delay(failures))
            else:
                return

    def _note(self, error: Exception | None) -> None:
        if error is None:
            self._outage.recovered()
            self._rests_until = 0.0
            return
        rest = min(MAX_REST, FIRST_REST * 2.0 ** min(self._outage.failures, 10))
        self._rests_until = clock.steady() + rest
        self._outage.failed(error, "retrying")


# The database's clock is read in the threads that use the database.


def _due_channels(using: str) -> list[str]:
    try:
        return sending.due_channels(using, clock.now(using))
    finally:
        # Most heartbeats rarely have messages to send: one connection fewer for the time between.
        connections.close_all()


def _prune(using: str) -> int:
    return sending.prune(using, clock.now(using))


def _record(using: str, message: OutboxMessage, error: NotDelivered | None) -> None:
    now = clock.now(using)
    if error is None:
        sending.record_sent(using, now, message)
    else:
        sending.record_failure(using, now, message, error)
