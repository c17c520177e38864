"""A window of time that is drawn from left to right."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

HOUR = timedelta(hours=1)
STEPS = [timedelta(minutes=n) for n in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)]
MAX_TICKS = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time from ``start`` to ``end``; a place in it is a percentage of its width."""

    start: datetime
    end: datetime

    @classmethod
    def around(cls, middle: datetime, span: timedelta) -> "Window":
        return cls(start=middle - span / 2, end=middle + span / 2)

    @property
    def span(self) -> timedelta:
        return self.end - self.start

    def place(self, moment: datetime) -> float:
        """Return the place of ``moment``, 0 to 100; a moment outside it is at the edge."""
        part = (moment - self.start) / self.span
        return round(100 * min(1.0, max(0.0, part)), 3)

    def holds(self, moment: datetime) -> bool:
        return self.start <= moment <= self.end

    def ticks(self, zone: tzinfo) -> list[tuple[float, str]]:
        """Return the places and texts of round hours or minutes in a zone."""
        step = next((step for step in STEPS if self.span / step <= MAX_TICKS), STEPS[-1])
        midnight = self.start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        count = int((self.start - midnight) / step) + 1
        found = []
        # Local times, so that each day begins with a tick. In spring, an hour of them is skipped.
        while (local := midnight + count * step) < self.end:
            count += 1
            moment = local.astimezone(UTC)
            is_real = moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None)
            if (local.hour, local.minute) == (0, 0):
                found.append((self.place(moment), f"{local:%a %d}"))
            elif is_real:
                found.append((self.place(moment), f"{local:%H:%M}"))
        return found
