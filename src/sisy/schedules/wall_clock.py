"""Search naive local times that match an expression, without regard to any time zone."""

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache

from sisy.schedules.expression import DayRule, Fields

HOUR = timedelta(hours=1)

RAREST = 41
"""A schedule that can match does so within this many years: 29 February falls on every weekday
within 40 years, even across a year such as 2100, which is not a leap year."""


@lru_cache(maxsize=8192)
def days_of(rule: DayRule, year: int, month: int) -> tuple[int, ...]:
    """Return the days of a month that match, in ascending order.

    If both day fields are restricted, a day matches if either does (POSIX crontab).
    """
    if month not in rule.months:
        return ()
    first_weekday, last_day = monthrange(year, month)
    is_by_weekday = rule.weekdays is not None
    is_by_day = rule.days is not None
    nearest = {_nearest_weekday(day, first_weekday, last_day) for day in rule.nearest}
    matching = []
    for day in range(1, last_day + 1):
        weekday = (first_weekday + day) % 7  # monthrange counts from Monday, cron from Sunday
        nth = 0 if day + 7 > last_day else -1
        by_weekday = is_by_weekday and (
            weekday in (rule.weekdays or ())
            or (weekday, (day + 6) // 7) in rule.nth
            or (weekday, nth) in rule.nth
        )
        by_day = is_by_day and (
            day in (rule.days or ()) or day in nearest or (rule.has_last_day and day == last_day)
        )
        if by_weekday or by_day or not (is_by_weekday or is_by_day):
            matching.append(day)
    return tuple(matching)


def _nearest_weekday(day: int, first_weekday: int, last_day: int) -> int:
    """Return the nearest day from Monday to Friday in the same month.

    Args:
        first_weekday: the weekday of the month's first day; 0 is Monday.
    """
    day = min(day, last_day)
    weekday = (first_weekday + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < last_day else day - 2
    return day


def next_wall(fields: Fields, moment: datetime) -> datetime | None:
    """Return the first matching time strictly after ``moment``; None if there is none."""
    if moment.day in days_of(fields.day_rule, moment.year, moment.month):
        number = _count_of_times(fields, moment)
        if number < _times_a_day(fields):
            return _time_of_day(fields, moment, number)
    day = _next_day(fields.day_rule, moment.date())
    return None if day is None else _time_of_day(fields, day, 0)


def last_wall(fields: Fields, moment: datetime) -> datetime | None:
    """Return the latest matching time at or before ``moment``; None if there is none."""
    if number := _count_of_day(fields, moment):
        return _time_of_day(fields, moment, number - 1)
    day = _last_day(fields.day_rule, moment.date())
    return None if day is None else _time_of_day(fields, day, _times_a_day(fields) - 1)


def walls_between(fields: Fields, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the matching times in ``after`` < time ≤ ``until``, in order."""
    in_an_hour = [
        timedelta(minutes=minute, seconds=second)
        for minute in fields.minutes
        for second in fields.seconds
    ]
    for day in _days_between(fields.day_rule, after.date(), until.date()):
        for hour in fields.hours:
            begins = datetime(day.year, day.month, day.day, hour)
            if begins > until:
                return
            if after - begins < HOUR:
                for later in in_an_hour:
                    wall = begins + later
                    if after < wall <= until:
                        yield wall


def count_walls(fields: Fields, after: datetime, until: datetime) -> int:
    """Return the number of matching times in ``after`` < time ≤ ``until``."""
    if until <= after:
        return 0
    days = _count_days(fields.day_rule, after.date(), until.date())
    return (
        days * _times_a_day(fields) + _count_of_day(fields, until) - _count_of_day(fields, after)
    )


def _times_a_day(fields: Fields) -> int:
    return len(fields.hours) * len(fields.minutes) * len(fields.seconds)


def _time_of_day(fields: Fields, day: date, number: int) -> datetime:
    """Return the matching time of a day with this number; the first is 0."""
    minutes, second = divmod(number, len(fields.seconds))
    hour, minute = divmod(minutes, len(fields.minutes))
    return datetime(
        day.year,
        day.month,
        day.day,
        fields.hours[hour],
        fields.minutes[minute],
        fields.seconds[second],
    )


def _next_day(rule: DayRule, day: date) -> date | None:
    days = days_of(rule, day.year, day.month)
    index = bisect_right(days, day.day)
    return day.replace(day=days[index]) if index < len(days) else _day_beyond(rule, day, 1)


def _last_day(rule: DayRule, day: date) -> date | None:
    days = days_of(rule, day.year, day.month)
    index = bisect_left(days, day.day)
    return day.replace(day=days[index - 1]) if index else _day_beyond(rule, day, -1)


def _day_beyond(rule: DayRule, day: date, step: int) -> date | None:
    """Return the nearest matching day of a later month (``step`` is 1) or an earlier one (-1)."""
    begins = day.year * 12 + day.month - 1
    for months in range(begins + step, begins + step * (12 * RAREST + 1), step):
        year, month = months // 12, months % 12 + 1
        if not date.min.year <= year <= date.max.year:
            return None
        if days := days_of(rule, year, month):
            return date(year, month, days[0 if step > 0 else -1])
    return None


def _days_between(rule: DayRule, start: date, end: date) -> Iterator[date]:
    """Yield the matching days in ``start`` ≤ day ≤ ``end``."""
    is_first = start.day in days_of(rule, start.year, start.month)
    day = start if is_first else _next_day(rule, start)
    while day is not None and day <= end:
        yield day
        day = _next_day(rule, day)


def _count_days(rule: DayRule, start: date, end: date) -> int:
    """Return the number of matching days in ``start`` ≤ day < ``end``."""
    months = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    whole = sum(len(days_of(rule, month // 12, month % 12 + 1)) for month in months)
    before = bisect_left(days_of(rule, start.year, start.month), start.day)
    days = days_of(rule, end.year, end.month)
    return whole - before - (len(days) - bisect_left(days, end.day))


def _count_of_day(fields: Fields, moment: datetime) -> int:
    """Return the number of matching times on the day of ``moment``, up to and including it."""
    is_matching = moment.day in days_of(fields.day_rule, moment.year, moment.month)
    return _count_of_times(fields, moment) if is_matching else 0


def _count_of_times(fields: Fields, moment: datetime) -> int:
    """Return the same number for a day that is known to match."""
    hours, minutes, seconds = fields.hours, fields.minutes, fields.seconds
    count = bisect_left(hours, moment.hour) * len(minutes) * len(seconds)
    if moment.hour in hours:
        count += bisect_left(minutes, moment.minute) * len(seconds)
        if moment.minute in minutes:
            count += bisect_right(seconds, moment.second)
    return count
