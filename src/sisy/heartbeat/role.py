"""The heartbeat: it looks ahead once a second, and makes a tick when something is due.

If it can be rung, and nothing is due soon, it looks every two seconds.
"""

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from django.db import router

from sisy import clock, conf
from sisy.alerting import deadman
from sisy.alerting.judge import Judge
from sisy.alerting.sender import Sender
from sisy.engines.dispatch import dispatching
from sisy.heartbeat.clock_watch import ClockWatch
from sisy.heartbeat.outlook import DueMark, Outlook, became_ready, look
from sisy.heartbeat.pauses import Pauses
from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.heartbeat.quarantine import reject_unreadable_rows
from sisy.heartbeat.retention import Rounds, prune_backlog
from sisy.heartbeat.tick import Tick, tick
from sisy.heartbeat.timing_check import Audit
from sisy.messaging import carriers, channel_layer, doorbell, heartbeat_bell
from sisy.models import Process, Role, Run, Task
from sisy.models.lease import RENEWALS, Lease
from sisy.planning.timing import LOOKAHEAD
from sisy.runtime.loop import Loop, Turn
from sisy.store.database_thread import DatabaseThread
from sisy.store.isolation import past_bad_rows

SECOND = timedelta(seconds=1)
LOCKED_RETRY_INTERVAL = 0.1  # seconds until a pass retries due tasks that were locked
PASS_BUDGET = 0.1  # seconds that a pass has for long work before it checks for due tasks again
PRUNE_SHARE = 0.5  # the part of the time until the next pass in which old history is deleted
RING_TIMEOUT = 0.005  # seconds that a pass waits for its rings to be sent


@dataclass(slots=True)
class Pass:
    """One pass of a heartbeat, and its result.

    Attributes:
        turn: the time for long work.
        tick: the result of the tick; None if there was none.
        ready: delayed runs that became ready, one of each queue.
        wait: the seconds until the next pass.
    """

    now: datetime
    turn: Turn
    tick: Tick | None = None
    ready: list[Run] = field(default_factory=list)
    wait: float = 0.0

    @property
    def queued(self) -> list[Run]:
        """The runs to ring for, except those that were announced already."""
        return self.ready + (self.tick.queued if self.tick is not None else [])


class Heartbeat:
    """Plans due occurrences. Any number of heartbeats may run; there is no leader.

    Args:
        using: the alias of the database; by default the one to which the routers write tasks.
    """

    def __init__(self, using: str | None = None) -> None:
        self.using = using or router.db_for_write(Task)
        self._database = DatabaseThread("sisy-heartbeat")
        self._loop = Loop("The heartbeat", self._step)
        self._lease = Lease(Role.HEARTBEAT, self.using)
        self._clock_watch = ClockWatch(self.using)
        self._audit = Audit(self.using)
        self._judge = Judge(self.using)
        self._due_mark = DueMark()
        self._rounds = Rounds(self.using)
        self._pauses = Pauses(self.using)
        self._progress = deadman.Progress()
        self._next_beat: datetime | None = None
        self._next_due: datetime | None = None
        self._bell = heartbeat_bell.listener(self._receive_ring)
        self._outgoing = Sender(self.using)
        self._rings = carriers.Pace(heartbeat_bell.RING_INTERVAL)

    async def run(self) -> None:
        """Make passes until `stop` is called."""
        with channel_layer.local_loop():
            self._bell.open()
            try:
                with heartbeat_bell.listening(self._receive_ring):
                    async with (
                        dispatching(self.using),
                        self._pinging(),
                        self._outgoing.running(),
                    ):
                        await self._loop.run()
            finally:
                await self._bell.close()
                # If no pass was made, there may be no thread to unregister in.
                if self._lease.is_registered:
                    await self._database.run(self._lease.end)
                await self._database.close()

    def stop(self) -> None:
        """Stop after the current pass. Thread-safe; may be called more than once."""
        self._loop.stop()

    def _pinging(self) -> AbstractAsyncContextManager[None]:
        return deadman.pinging(self.using, self._progress, lambda: self._lease.process().pk)

    def _receive_ring(self) -> None:
        """Look soon, because tasks were changed. Many rings cause few looks. Thread-safe."""
        if (wait := self._rings.seconds_to_next(time.monotonic())) is not None:
            self._loop.wake(wait)

    async def _step(self) -> float:
        current = await self._database.run(self._pass)
        doorbell.ring(current.queued)
        if current.tick is not None:
            channel = conf.get_settings().heartbeat_channel
            await carriers.broadcast(channel, current.tick.beat())
        if self._rounds.has_more:
            await self._database.run(partial(self._prune, current))
        return current.wait

    def _pass(self) -> Pass:
        now = clock.now(self.using)
        current = Pass(now, self._turn(now))
        # First: the other steps depend on whether the heartbeat was away, and on the clock.
        self._watch_clock(now)
        if self._loop.was_woken:
            self._due_mark.hasten()
        process = self._lease.keep()
        since = self._clock_watch.last_pass or now
        is_announced = self._loop.was_woken or self._is_beat(now)
        if is_announced or self._pauses.wants_look(now, can_be_rung=self._bell.is_live):
            self._pauses.end(now)
        # Plan what is known to be due before anything else.
        if self._wants_tick(now):
            self._tick(current)
        self._clock_watch.repair(now, current.turn)
        outlook = self._look(process, since, now)
        if outlook is None:
            # The lease is lost. The next pass follows at once.
            self._lease.renew()
            return current
        self._act_on(outlook, current, since)
        if outlook.has_due_by(now + LOOKAHEAD) and self._plan_ahead(current):
            outlook = self._look(process, since, now) or outlook
            self._next_due = outlook.next_run
        if not current.turn.has_left_work:
            self._audit.go_on(now, current.turn)
        if not current.turn.has_left_work:
            self._judge_problems(current)
        self._complete(current, outlook)
        return current

    def _prune(self, current: Pass) -> None:
        """Delete more old history while there is nothing else to do."""
        # Only when the pass has rung for its runs, and only until the next one is due.
        began = clock.steady()
        turn = Turn(current.wait * PRUNE_SHARE)
        prune_backlog(self.using, current.now, self._rounds, turn)
        current.wait -= clock.steady() - began

    def _watch_clock(self, now: datetime) -> None:
        if self._clock_watch.look(now, clock.steady()):
            self._next_beat = None
            self._audit.restart()
            self._judge.restart()
            self._due_mark.reset()

    def _judge_problems(self, current: Pass) -> None:
        is_held_up = current.tick is not None and current.tick.is_held_up
        may_judge = self._clock_watch.may_judge
        self._judge.go_on(current.now, current.turn, may_judge=may_judge, is_held_up=is_held_up)

    def _act_on(self, outlook: Outlook, current: Pass, since: datetime) -> None:
        """Find runs that became ready, and tick if something is due and no tick was made yet."""
        if outlook.has_ready(current.now):
            current.ready = became_ready(self.using, since, current.now)
        if outlook.has_message(current.now):
            self._outgoing.wake()
        calls_for_tick = outlook.calls_for_tick(current.now, self._clock_watch.may_judge)
        if current.tick is None and calls_for_tick:
            self._tick(current)
        self._next_due = outlook.next_run

    def _complete(self, current: Pass, outlook: Outlook) -> None:
        """Record that the pass is complete, and decide how long to wait for the next one."""
        has_left_work = current.turn.has_left_work
        is_held_up = current.tick is not None and current.tick.is_held_up
        self._clock_watch.passed(current.now, is_behind=has_left_work or is_held_up)
        self._progress.last_pass = clock.steady()
        if not has_left_work:
            moments = (outlook.next_moment(), self._pauses.next_at)
            wait = self._seconds_to_next(current.now, min(filter(None, moments), default=None))
            if self._may_leave_out(wait, outlook):
                wait += SECOND.total_seconds()
            current.wait = min(wait, LOCKED_RETRY_INTERVAL) if is_held_up else wait

    def _plan_ahead(self, current: Pass) -> int:
        """Plan what falls due soon, and return how many runs that are."""
        announce = partial(doorbell.ring, within=RING_TIMEOUT)
        return plan_ahead(self.using, current.now, announce, current.turn)

    def _turn(self, now: datetime) -> Turn:
        """Return the time for long work. It ends when the next task is due."""
        until_due = PASS_BUDGET
        if self._next_due is not None and self._next_due > now:
            until_due = (self._next_due - now).total_seconds()
        return Turn(min(PASS_BUDGET, until_due))

    def _wants_tick(self, now: datetime) -> bool:
        """Return whether to tick at once: for a beat, or for a task that the last look saw."""
        return self._is_beat(now) or _has_come(self._next_due, now)

    def _is_beat(self, now: datetime) -> bool:
        return self._next_beat is None or self._next_beat <= now

    def _tick(self, current: Pass) -> None:
        is_beat = self._is_beat(current.now)
        current.tick = tick(
            self.using,
            current.now,
            is_beat,
            self._clock_watch.may_judge,
            announce=partial(doorbell.ring, within=RING_TIMEOUT),
            turn=current.turn,
            at_work_since=self._clock_watch.at_work_since,
            due_since=self._due_mark.since,
            rounds=self._rounds,
        )
        if is_beat:
            frequency = timedelta(seconds=conf.get_settings().heartbeat_frequency)
            self._next_beat = current.now + frequency

    def _look(self, process: Process, since: datetime, now: datetime) -> Outlook | None:
        due_since = self._due_mark.next_look()
        ahead = partial(look, process, self.using, since, due_since)
        outlook = past_bad_rows(ahead, partial(reject_unreadable_rows, self.using, now))
        if outlook is not None:
            self._due_mark.note(outlook.next_run, now)
            # Their next moments are computed from when their timing was changed.
            if outlook.has_unplanned:
                self._due_mark.reset()
        return outlook

    def _seconds_to_next(self, began: datetime, due: datetime | None) -> float:
        """Return the seconds until the middle of a second, or until ``due`` if that is earlier."""
        # Schedules name whole seconds. What falls due then has been planned ahead, and workers
        # start it without a heartbeat, which leaves the processors to them.
        middle = began.replace(microsecond=500_000)
        next_pass = middle if began < middle else middle + SECOND
        if not self._bell.is_live:
            # A task may have been changed that is due at the whole second.
            next_pass = min(next_pass, began.replace(microsecond=0) + SECOND)
        wanted = next_pass if due is None or due <= began else min(next_pass, due)
        # At most a second, even if the clock was set back in the meantime.
        return min(wanted - clock.last_known(self.using), SECOND).total_seconds()

    def _may_leave_out(self, wait: float, outlook: Outlook) -> bool:
        """Return whether nothing needs the next pass, which would begin in ``wait`` seconds."""
        # Without rings, only a look shows that a task was changed. And each look keeps the lease.
        if not self._bell.is_live or conf.get_settings().lease / RENEWALS < 2 * SECOND:
            return False
        following = clock.last_known(self.using) + timedelta(seconds=wait) + SECOND
        moments = (
            outlook.next_moment(),
            outlook.first_expiry,
            self._next_beat,
            self._audit.next_at,
            self._judge.next_at,
            self._pauses.next_at,
        )
        return all(moment is None or moment >= following + SECOND for moment in moments)


def _has_come(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now
