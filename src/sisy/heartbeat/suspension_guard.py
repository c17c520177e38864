"""The time that a heartbeat has been watching without interruption; pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class _Look:
    now: datetime
    steady: float


class SuspensionGuard:
    """Whoever slept does not judge: a watch that begins anew after each break.

    After a host was suspended, the database was away or the clock was set, all leases look
    expired at once. Whoever looks first must give the living time to be heard of again.

    Args:
        length: how long to watch before `may_judge`.
        break_after: how far apart two looks may lie, by the database's clock or by the steady one.
    """

    def __init__(self, length: timedelta, break_after: timedelta) -> None:
        self._length = length.total_seconds()
        self._break_after = break_after.total_seconds()
        self._last: _Look | None = None
        self._since = 0.0

    def look(self, now: datetime, steady: float) -> bool:
        """Note a look; return whether it came after a break, as the first one always does.

        Args:
            now: the moment, by the database's clock.
            steady: seconds by a clock that nobody can set, and that goes on while the host sleeps.
        """
        is_after_break = self._last is None or self._lies_far_from(self._last, now, steady)
        if is_after_break:
            self._since = steady
        self._last = _Look(now, steady)
        return is_after_break

    @property
    def may_judge(self) -> bool:
        """Return whether the last look came after a watch of full length."""
        return self._last is not None and self._last.steady - self._since >= self._length

    def _lies_far_from(self, last: _Look, now: datetime, steady: float) -> bool:
        by_database = abs((now - last.now).total_seconds())
        return max(by_database, steady - last.steady) > self._break_after
