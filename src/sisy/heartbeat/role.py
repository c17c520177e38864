"""The heartbeat: it looks ahead once a second, and makes a tick when something is due."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from functools import partial

from django.db import router

from sisy import clock, conf
from sisy.engines.dispatch import Dispatcher
from sisy.heartbeat.clock_rollback import ClockWatch
from sisy.heartbeat.quarantine import reject_unreadable_rows
from sisy.heartbeat.tick import Outlook, Tick, became_ready, look, tick
from sisy.heartbeat.timing_check import Audit
from sisy.messaging import doorbell, sender
from sisy.models import Process, Role, Run, Task
from sisy.runtime.log import logger
from sisy.runtime.loop import Loop, Turn
from sisy.store.database_thread import DatabaseThread
from sisy.store.isolation import isolating

SECOND = timedelta(seconds=1)
LOCKED_RETRY_INTERVAL = 0.1  # seconds until a pass retries due tasks that were locked
PASS_BUDGET = 0.1  # seconds that a pass has for long work before it checks for due tasks again
RING_TIMEOUT = 0.005  # seconds that a pass waits for its rings to be sent
DISPATCH_TIMEOUT = 5.0  # seconds to send the last runs to their engines, which may hang


class Heartbeat:
    """Plans due occurrences. Any number of heartbeats may run; there is no leader.

    Args:
        using: the alias of the database; by default the one to which the routers write tasks.
    """

    def __init__(self, using: str | None = None) -> None:
        self.using = using or router.db_for_write(Task)
        self._database = DatabaseThread("sisy-heartbeat")
        self._loop = Loop("The heartbeat", self._step)
        self._dispatcher = Dispatcher(self.using)
        self._registration = Registration(self.using)
        self._clock_watch = ClockWatch(self.using)
        self._audit = Audit(self.using)
        self._next_beat: datetime | None = None
        self._next_due: datetime | None = None

    async def run(self) -> None:
        """Make passes until `stop` is called."""
        with sender.local_loop():
            dispatching = asyncio.create_task(self._dispatcher.run())
            try:
                await self._loop.run()
            finally:
                self._dispatcher.stop()
                await asyncio.wait([dispatching], timeout=DISPATCH_TIMEOUT)
                await _log_failure(self._database.run(self._registration.end))
                await self._database.close()

    def stop(self) -> None:
        """Stop after the current pass. Thread-safe; may be called more than once."""
        self._loop.stop()

    async def _step(self) -> float:
        made, queued, wait = await self._database.run(self._pass)
        doorbell.ring(queued)
        self._dispatcher.wake(queued)
        if made is not None:
            await sender.broadcast(conf.get_settings().heartbeat_channel, made.beat())
        return wait

    def _pass(self) -> tuple[Tick | None, list[Run], float]:
        """Make a pass. Return its tick if there was one, the runs to ring for, and the wait.

        Long work is limited by a `Turn`. The wait is in seconds.
        """
        now = clock.now(self.using)
        turn = self._turn(now)
        if self._clock_watch.look(now, clock.steady()):
            self._next_beat = None
            self._audit.restart()
        process = self._registration.renewed(now)
        since = self._clock_watch.last_pass or now
        # Plan what is known to be due before anything else.
        made = self._tick(now, turn) if self._wants_tick(now) else None
        self._clock_watch.repair(now, turn)
        outlook = self._look(process, since, now)
        if outlook is None:
            self._registration.forget()
            return made, made.queued if made else [], 0.0
        queued = became_ready(self.using, since, now) if outlook.has_ready(now) else []
        if made is None and outlook.calls_for_tick(now, self._clock_watch.may_judge):
            made = self._tick(now, turn)
        if made is not None:
            queued = queued + made.queued
        self._next_due = outlook.next_run
        if not turn.has_left_work:
            self._audit.go_on(now, turn)
        is_held_up = made is not None and made.is_held_up
        self._clock_watch.passed(now, is_behind=turn.has_left_work or is_held_up)
        if turn.has_left_work:
            return made, queued, 0.0
        wait = self._seconds_to_next(now, outlook.next_moment())
        return made, queued, min(wait, LOCKED_RETRY_INTERVAL) if is_held_up else wait

    def _turn(self, now: datetime) -> Turn:
        """Return the time for long work. It ends when the next task is due."""
        until_due = PASS_BUDGET
        if self._next_due is not None and self._next_due > now:
            until_due = (self._next_due - now).total_seconds()
        return Turn(min(PASS_BUDGET, until_due))

    def _wants_tick(self, now: datetime) -> bool:
        """Return whether to tick at once: for a beat, or for a task that the last look saw."""
        return self._is_beat(now) or (self._next_due is not None and self._next_due <= now)

    def _is_beat(self, now: datetime) -> bool:
        return self._next_beat is None or self._next_beat <= now

    def _tick(self, now: datetime, turn: Turn) -> Tick:
        is_beat = self._is_beat(now)
        made = tick(
            self.using,
            now,
            is_beat,
            self._clock_watch.may_judge,
            announce=self._announce,
            turn=turn,
            at_work_since=self._clock_watch.at_work_since,
        )
        if is_beat:
            self._next_beat = now + timedelta(seconds=conf.get_settings().heartbeat_frequency)
        return made

    def _announce(self, runs: list[Run]) -> None:
        self._dispatcher.wake(runs)
        doorbell.ring(runs, within=RING_TIMEOUT)

    def _look(self, process: Process, since: datetime, now: datetime) -> Outlook | None:
        def look_past_unreadable(error: Exception) -> Outlook | None:
            if not reject_unreadable_rows(self.using, now):
                raise error
            return look(process, self.using, since)

        return isolating(partial(look, process, self.using, since), look_past_unreadable)

    def _seconds_to_next(self, began: datetime, due: datetime | None) -> float:
        """Return the seconds until the next whole second, or until ``due`` if that is earlier."""
        next_second = began.replace(microsecond=0) + SECOND
        wanted = next_second if due is None or due <= began else min(next_second, due)
        # At most a second, even if the clock was set back in the meantime.
        return min(wanted - clock.last_known(self.using), SECOND).total_seconds()


class Registration:
    """The row of a heartbeat's process, and its lease."""

    def __init__(self, using: str) -> None:
        self._using = using
        self.process: Process | None = None

    def renewed(self, now: datetime) -> Process:
        """Return the process, with at least two thirds of its lease left."""
        lease = conf.get_settings().lease
        process = self.process
        if process is not None and not lease * 2 / 3 <= process.lease_until - now <= lease:
            process = process if process.renew(now, lease) else None
        if process is None:
            process = Process.join(Role.HEARTBEAT, using=self._using, now=now, lease=lease)
        self.process = process
        return process

    def forget(self) -> None:
        """Register again at the next pass, because the lease was lost."""
        self.process = None

    def end(self) -> None:
        """Unregister the process."""
        if self.process is not None:
            self.process.leave()


async def _log_failure(leaving: Awaitable[None]) -> None:
    try:
        await leaving
    except Exception as error:  # noqa: BLE001 - the process ends, and its lease expires by itself
        logger.info("Could not unregister (%s); the lease will expire", error)
