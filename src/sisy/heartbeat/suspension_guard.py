"""Decide when a heartbeat has watched long enough to judge leases. No database access.

After a host was suspended, after a database outage or after the clock was set, all leases look
expired at once. A heartbeat that judged them at once would declare live workers dead. So it first
watches for a while, in which live workers can renew. Each break starts a new watch.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


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
