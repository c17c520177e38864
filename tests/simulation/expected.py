"""When a task is due, found by other means than Sisy's.

Where a zone's clock stands still against UTC, it is plain arithmetic; around its changes, every
minute is walked by Debian's rule (tests/unit/enumerator.py).
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from tests.simulation.history import Times
from tests.support.moments import DAY, HOUR
from tests.unit.enumerator import enumerate_due, expanded, matches

BEFORE = timedelta(hours=4)  # how long before a day a change may still matter to it


def due_moments(times: Times, after: datetime, until: datetime) -> list[datetime]:
    """Return the due moments in ``after`` < due ≤ ``until``, oldest first."""
    start = after if times.start is None else max(after, times.start - timedelta(microseconds=1))
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    found: list[datetime] = []
    while day <= until and (times.end is None or day < times.end):
        of_day = _of_day(times.schedule, times.timezone, day)
        found += of_day[bisect_right(of_day, start) : bisect_right(of_day, until)]
        day += DAY
    return [due for due in found if times.end is None or due < times.end]


@lru_cache(maxsize=200_000)
def _of_day(schedule: str, zone: str, day: datetime) -> tuple[datetime, ...]:
    if changes(zone, day - BEFORE, day + DAY):
        return tuple(enumerate_due(schedule, zone, day, day + DAY))
    offset = day.astimezone(ZoneInfo(zone)).utcoffset()
    local = (day + offset).replace(tzinfo=None)
    values, _ = expanded(schedule)
    minutes = _values(values[0], 60)
    hours = _values(values[1], 24)
    seconds = _values(values[5], 60) if len(values) == 6 else [0]
    walls = [
        midnight.replace(hour=hour, minute=minute, second=second)
        for midnight in (local.replace(hour=0, minute=0), local.replace(hour=0, minute=0) + DAY)
        if _day_matches(schedule, midnight, values)
        for hour in hours
        for minute in minutes
        for second in seconds
    ]
    moments = [(wall - offset).replace(tzinfo=UTC) for wall in walls]
    return tuple(sorted(moment for moment in moments if day <= moment < day + DAY))


def changes(zone: str, start: datetime, end: datetime) -> bool:
    """Whether the zone's clock is set from ``start`` to before ``end``."""
    tz = ZoneInfo(zone)
    hours = int((end - start) / HOUR)
    offsets = {(start + n * HOUR).astimezone(tz).utcoffset() for n in range(hours + 1)}
    return len(offsets) > 1


def changes_of_year(zone: str, year: int) -> list[datetime]:
    """Return the hours of a year in which the zone's clock is set."""
    start = datetime(year, 1, 1, tzinfo=UTC)
    hours = [start + n * HOUR for n in range(365 * 24)]
    return [hour for hour in hours if changes(zone, hour, hour + HOUR)]


def _values(field: list, size: int) -> list[int]:
    return list(range(size)) if field == ["*"] else sorted(field)


def _day_matches(schedule: str, midnight: datetime, values: list) -> bool:
    first = [_values(values[0], 60)[0], _values(values[1], 24)[0]]
    second = _values(values[5], 60)[0] if len(values) == 6 else 0
    return matches(schedule, midnight.replace(hour=first[1], minute=first[0], second=second))
