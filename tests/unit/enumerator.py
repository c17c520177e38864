"""The most naive reading of Debian's cron(8): walks every minute or second, and compares."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter

LARGEST_CHANGE = timedelta(hours=3)


expanded = lru_cache(maxsize=256)(croniter.expand)


def matches(expression: str, local: datetime) -> bool:
    """Whether the fields match a wall-clock time."""
    values, nth = expanded(expression)
    if values[0] != ["*"] and local.minute not in values[0]:
        return False
    second = values[5] if len(values) == 6 else [0]
    weekday = local.isoweekday() % 7
    last_day = (local.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)

    def allows(allowed: list, value: int) -> bool:
        return allowed == ["*"] or value in allowed

    in_month = allows(values[2], local.day) or ("l" in values[2] and local.day == last_day.day)
    if nth:
        wanted = nth.get(weekday, set())
        in_week = (local.day + 6) // 7 in wanted or (
            "l" in wanted and local.day + 7 > last_day.day
        )
    else:
        in_week = allows(values[4], weekday)
    both_restricted = values[2] != ["*"] and values[4] != ["*"]
    day = (in_month or in_week) if both_restricted else (in_month and in_week)
    return (
        day
        and allows(values[1], local.hour)
        and allows(values[3], local.month)
        and allows(second, local.second)
    )


def enumerate_due(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Return every due moment in ``start`` ≤ due < ``end``, in UTC, to the minute or second."""
    texts = expression.split()
    starred = texts[0].startswith("*") or texts[1].startswith("*")
    step = timedelta(seconds=1 if len(texts) == 6 else 60)
    tz = ZoneInfo(zone)
    due: set[datetime] = set()
    seen_until = None  # the latest local time of the first pass of a fold
    now = start - LARGEST_CHANGE - timedelta(hours=1)  # to know of a change shortly before
    offset = now.astimezone(tz).utcoffset()
    while now < end:
        in_zone = now.astimezone(tz)
        local = in_zone.replace(tzinfo=None)
        before, offset = offset, in_zone.utcoffset()
        change = offset - before
        if timedelta(0) < change <= LARGEST_CHANGE and not starred:
            left_out = local - change
            while left_out < local:
                if matches(expression, left_out):
                    due.add(now)
                left_out += step
        if -LARGEST_CHANGE <= change < timedelta(0):
            seen_until = local - change
        repeated = seen_until is not None and local < seen_until
        if matches(expression, local) and not (repeated and not starred):
            due.add(now)
        now += step
    return sorted(moment for moment in due if moment >= start)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
