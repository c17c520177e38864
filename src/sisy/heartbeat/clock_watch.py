"""Watch the clock: whether a heartbeat was interrupted, and whether the clock was set back.

After a host was suspended, after a database outage or after the clock was set, all leases look
expired at once. A heartbeat that judged them at once would declare live workers dead. So it first
watches for a while, in which live workers can renew. Each break starts a new watch.

After a step back, `sisy.heartbeat.clock_rollback` repairs the rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy import clock, conf
from sisy.heartbeat.clock_rollback import Repair
from sisy.planning.timing import ON_TIME_TOLERANCE
from sisy.runtime.loop import Turn

# Seconds until all processes have read the new time, after the clock was set.
CLOCK_READ_DELAY = 2 * clock.TRUSTED_FOR


class ClockWatch:
    """Notices if the heartbeat was interrupted or the clock was set back, and repairs the rows.

    Attributes:
        last_pass: the moment of the last complete pass; None at the start and after a step back.
        at_work_since: see `catch_up.Watch`; None before the first look.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        lease = conf.get_settings().lease
        self._guard = SuspensionGuard(length=lease / 3, break_after=lease / 2)
        self._repair_at: float | None = None
        self._repair: Repair | None = None
        self.last_pass: datetime | None = None
        self.at_work_since: datetime | None = None

    @property
    def may_judge(self) -> bool:
        """Return whether the heartbeat may judge leases: see `SuspensionGuard`."""
        return self._guard.may_judge

    def look(self, now: datetime, steady: float) -> bool:
        """Record that a pass begins. Return whether the clock was set back since the last one.

        Args:
            now: the current time, by the database's clock.
            steady: seconds by `sisy.clock.steady`.
        """
        self._guard.look(now, steady)
        is_first = self.at_work_since is None
        was_set_back = self.last_pass is not None and now < self.last_pass - ON_TIME_TOLERANCE
        # No pass takes that long, so the heartbeat was suspended or the database was unavailable.
        if self.last_pass is None or abs(now - self.last_pass) > ON_TIME_TOLERANCE:
            self.at_work_since = now
        if was_set_back:
            self.last_pass = None
        # At the start, too: the clock may have been set back while no heartbeat ran, or another
        # one may have died before it repaired everything.
        if was_set_back or is_first:
            self._repair_at = steady + CLOCK_READ_DELAY
        if self._repair_at is not None and steady >= self._repair_at:
            self._repair, self._repair_at = Repair(self._using, now), None
        return was_set_back

    def repair(self, now: datetime, turn: Turn) -> None:
        """Continue the repair, if one was begun, until the turn ends."""
        if self._repair is not None and self._repair.go_on(now, turn):
            self._repair = None

    def passed(self, now: datetime, *, is_behind: bool) -> None:
        """Record that the pass of ``now`` is complete, and whether it left work for later."""
        self.last_pass = now
        if not is_behind:
            self.at_work_since = now


@dataclass(frozen=True, slots=True)
class _Look:
    now: datetime
    steady: float


class SuspensionGuard:
    """Decides whether a heartbeat may judge leases.

    Args:
        length: how long to watch before `may_judge` is true.
        break_after: the longest time between two looks, by either clock; more is a break.
    """

    def __init__(self, length: timedelta, break_after: timedelta) -> None:
        self._length = length.total_seconds()
        self._break_after = break_after.total_seconds()
        self._last: _Look | None = None
        self._since = 0.0

    def look(self, now: datetime, steady: float) -> bool:
        """Note a look. Return whether it came after a break; the first one always does.

        Args:
            now: the current time, by the database's clock.
            steady: seconds by `sisy.clock.steady`.
        """
        is_after_break = self._last is None or self._lies_far_from(self._last, now, steady)
        if is_after_break:
            self._since = steady
        self._last = _Look(now, steady)
        return is_after_break

    @property
    def may_judge(self) -> bool:
        """Return whether the watch was long enough at the last look."""
        return self._last is not None and self._last.steady - self._since >= self._length

    def _lies_far_from(self, last: _Look, now: datetime, steady: float) -> bool:
        by_database = abs((now - last.now).total_seconds())
        return max(by_database, steady - last.steady) > self._break_after
