"""The heartbeat: it looks ahead once a second, and makes a tick when something is due."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from functools import partial

from django.db import router

from sisy import clock, conf, doorbell
from sisy.database_thread import DatabaseThread
from sisy.heartbeat import clock_rollback, retention, timing_check
from sisy.heartbeat.dispatching import Dispatcher
from sisy.heartbeat.quarantine import set_unreadable_aside
from sisy.heartbeat.suspension_guard import SuspensionGuard
from sisy.heartbeat.tick import Outlook, Tick, became_ready, look, tick
from sisy.heartbeat.turn import Turn
from sisy.log import logger
from sisy.loop import Loop
from sisy.models import Process, Role, Run, Task
from sisy.models.timing import ON_TIME_TOLERANCE
from sisy.store.isolation import isolating

AUDIT_INTERVAL = timedelta(seconds=10)
AUDIT_SLICES = 5  # the number of audits that cover all tasks, unless there are very many
AUDIT_BATCH = 10_000  # the most tasks per audit, so that its cost stays bounded
SECOND = timedelta(seconds=1)
HELD_UP = 0.1  # seconds until the next look at due tasks that another transaction had locked
AT_WORK = 0.1  # seconds that a pass has for long work before it checks for due tasks again
TIME_TO_RING = 0.005  # seconds that a pass waits for its rings to be sent
TIME_TO_HAND_OVER = 5.0  # seconds to send the last runs to their engines, which may hang
SETTLING = 2 * clock.TRUSTED_FOR  # seconds until all processes have read a clock that was set


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
        self._process: Process | None = None
        lease = conf.get_settings().lease
        self._guard = SuspensionGuard(length=lease / 3, break_after=lease / 2)
        self._repair_at: float | None = None
        self._ongoing_repair: clock_rollback.Repair | None = None
        self._at_work_since: datetime | None = None
        self._has_begun = False
        self._last_look: datetime | None = None
        self._next_beat: datetime | None = None
        self._next_due: datetime | None = None
        self._next_audit: datetime | None = None
        self._audited = 0  # up to this key

    async def run(self) -> None:
        """Make passes until `stop` is called."""
        with doorbell.at_home():
            await self._beat_until_stopped()

    async def _beat_until_stopped(self) -> None:
        dispatching = asyncio.create_task(self._dispatcher.run())
        try:
            await self._loop.run()
        finally:
            self._dispatcher.stop()
            await asyncio.wait([dispatching], timeout=TIME_TO_HAND_OVER)
            if self._process is not None:
                await _quietly(self._database.run(self._process.leave))
            await self._database.close()

    def stop(self) -> None:
        """Stop after the current pass. Thread-safe; may be called more than once."""
        self._loop.stop()

    async def _step(self) -> float:
        made, queued, wait = await self._database.run(self._pass)
        doorbell.ring(queued)
        self._dispatcher.wake(queued)
        if made is not None:
            await doorbell.broadcast(conf.get_settings().heartbeat_channel, made.beat())
        return wait

    def _pass(self) -> tuple[Tick | None, list[Run], float]:
        """Make a pass. Return its tick if there was one, the runs to ring for, and the wait.

        Long work is limited by a `Turn`. The wait is in seconds.
        """
        now = clock.now(self.using)
        turn = self._turn(now)
        self._watch(now, clock.steady())
        process = self._renewed(now)
        since = self._last_look or now
        # Plan what is known to be due before anything else.
        made = self._tick(now, turn) if self._wants_tick(now) else None
        self._repair(now, turn)
        outlook = self._look(process, since, now)
        if outlook is None:
            self._process = None
            return made, [] if made is None else made.queued, 0.0
        queued: list[Run] = []
        if outlook.next_ready is not None and outlook.next_ready <= now:
            queued = became_ready(self.using, since, now)
        if made is None and outlook.calls_for_tick(now, self._guard.may_judge):
            made = self._tick(now, turn)
        if made is not None:
            queued = queued + made.queued
        self._next_due = outlook.next_run
        if not turn.has_left_work:
            self._audit(now, turn)
        self._last_look = now
        if not (turn.has_left_work or (made is not None and made.is_held_up)):
            self._at_work_since = now
        wait = self._seconds_to_next(now, outlook.next_moment())
        if made is not None and made.is_held_up:
            wait = min(wait, HELD_UP)
        return made, queued, 0.0 if turn.has_left_work else wait

    def _turn(self, now: datetime) -> Turn:
        """Return the time for long work. It ends when the next task is due."""
        until_due = AT_WORK
        if self._next_due is not None and self._next_due > now:
            until_due = (self._next_due - now).total_seconds()
        return Turn(min(AT_WORK, until_due))

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
            self._guard.may_judge,
            announce=self._announce,
            turn=turn,
            at_work_since=self._at_work_since,
        )
        if is_beat:
            self._next_beat = now + timedelta(seconds=conf.get_settings().heartbeat_frequency)
        return made

    def _announce(self, runs: list[Run]) -> None:
        self._dispatcher.wake(runs)
        doorbell.ring(runs, within=TIME_TO_RING)

    def _look(self, process: Process, since: datetime, now: datetime) -> Outlook | None:
        def look_past_unreadable(error: Exception) -> Outlook | None:
            if not set_unreadable_aside(self.using, now):
                raise error
            return look(process, self.using, since)

        return isolating(partial(look, process, self.using, since), look_past_unreadable)

    def _watch(self, now: datetime, steady: float) -> None:
        """Notice breaks and a clock that was set back, and schedule the repair."""
        self._guard.look(now, steady)
        # No pass takes that long, so the heartbeat or the database was away.
        if self._last_look is None or abs(now - self._last_look) > ON_TIME_TOLERANCE:
            self._at_work_since = now
        was_set_back = self._last_look is not None and now < self._last_look - ON_TIME_TOLERANCE
        if was_set_back:
            self._last_look = self._next_beat = self._next_audit = None
        # At the start, too: the clock may have been set back while no heartbeat ran, or another
        # one may have died before it repaired everything.
        if was_set_back or not self._has_begun:
            self._has_begun = True
            self._repair_at = steady + SETTLING
        if self._repair_at is not None and steady >= self._repair_at:
            self._ongoing_repair, self._repair_at = clock_rollback.Repair(self.using, now), None

    def _repair(self, now: datetime, turn: Turn) -> None:
        if self._ongoing_repair is not None and self._ongoing_repair.go_on(now, turn):
            self._ongoing_repair = None

    def _renewed(self, now: datetime) -> Process:
        """Return this process's row, with at least two thirds of its lease left."""
        lease = conf.get_settings().lease
        process = self._process
        if process is not None and not lease * 2 / 3 <= process.lease_until - now <= lease:
            process = process if process.renew(now, lease) else None
        if process is None:
            process = Process.join(Role.HEARTBEAT, using=self.using, now=now, lease=lease)
        self._process = process
        return process

    def _audit(self, now: datetime, turn: Turn) -> None:
        """Audit the next slice of tasks. If the turn ends, the next pass audits the rest."""
        if self._next_audit is not None and now < self._next_audit:
            return
        tasks = Task.objects.using(self.using).order_by("-pk")
        newest = tasks.values_list("pk", flat=True).first() or 0
        first = self._audited + 1 if self._audited < newest else 0
        last = first + min(newest // AUDIT_SLICES, AUDIT_BATCH)
        timing_check.audit(self.using, now, first, last, turn)
        if turn.has_left_work:
            return
        _, self._audited = retention.prune_surplus(self.using, first, last, turn)
        if self._audited == last:
            self._next_audit = now + AUDIT_INTERVAL

    def _seconds_to_next(self, began: datetime, due: datetime | None) -> float:
        """Return the seconds until the next whole second, or until ``due`` if that is earlier."""
        next_second = began.replace(microsecond=0) + SECOND
        wanted = next_second if due is None or due <= began else min(next_second, due)
        # At most a second, even if the clock was set back in the meantime.
        return min(wanted - clock.last_known(self.using), SECOND).total_seconds()


async def _quietly(leaving: Awaitable[None]) -> None:
    try:
        await leaving
    except Exception as error:  # noqa: BLE001 - it is the end, and the lease runs out by itself
        logger.info("Could not unregister (%s); the lease will expire", error)
