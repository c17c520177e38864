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
        later = _next_time(fields, moment)
        if later is not None:
            return later
    day = _next_day(fields.day_rule, moment.date())
    if day is None:
        return None
    return datetime(
        day.year, day.month, day.day, fields.hours[0], fields.minutes[0], fields.seconds[0]
    )


def last_wall(fields: Fields, moment: datetime) -> datetime | None:
    """Return the latest matching time at or before ``moment``; None if there is none."""
    if moment.day in days_of(fields.day_rule, moment.year, moment.month):
        earlier = _last_time(fields, moment)
        if earlier is not None:
            return earlier
    day = _last_day(fields.day_rule, moment.date())
    if day is None:
        return None
    return datetime(
        day.year, day.month, day.day, fields.hours[-1], fields.minutes[-1], fields.seconds[-1]
    )


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
    a_day = len(fields.hours) * len(fields.minutes) * len(fields.seconds)
    days = _count_days(fields.day_rule, after.date(), until.date())
    return days * a_day + _count_of_day(fields, until) - _count_of_day(fields, after)


def _next_time(fields: Fields, moment: datetime) -> datetime | None:
    hours, minutes, seconds = fields.hours, fields.minutes, fields.seconds
    hour, minute = moment.hour, moment.minute
    if hour in hours:
        if minute in minutes:
            index = bisect_right(seconds, moment.second)
            if index < len(seconds):
                return moment.replace(second=seconds[index], microsecond=0)
        index = bisect_right(minutes, minute)
        if index < len(minutes):
            return moment.replace(minute=minutes[index], second=seconds[0], microsecond=0)
    index = bisect_right(hours, hour)
    if index < len(hours):
        return moment.replace(
            hour=hours[index], minute=minutes[0], second=seconds[0], microsecond=0
        )
    return None


def _last_time(fields: Fields, moment: datetime) -> datetime | None:
    hours, minutes, seconds = fields.hours, fields.minutes, fields.seconds
    hour, minute = moment.hour, moment.minute
    if hour in hours:
        if minute in minutes:
            index = bisect_right(seconds, moment.second)
            if index:
                return moment.replace(second=seconds[index - 1], microsecond=0)
        index = bisect_left(minutes, minute)
        if index:
            return moment.replace(minute=minutes[index - 1], second=seconds[-1], microsecond=0)
    index = bisect_left(hours, hour)
    if index:
        return moment.replace(
            hour=hours[index - 1], minute=minutes[-1], second=seconds[-1], microsecond=0
        )
    return None


def _next_day(rule: DayRule, day: date) -> date | None:
    days = days_of(rule, day.year, day.month)
    index = bisect_right(days, day.day)
    if index < len(days):
        return day.replace(day=days[index])
    year, month = day.year, day.month
    for _ in range(12 * RAREST):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        if year > date.max.year:
            return None
        days = days_of(rule, year, month)
        if days:
            return date(year, month, days[0])
    return None


def _days_between(rule: DayRule, start: date, end: date) -> Iterator[date]:
    """Yield the matching days in ``start`` ≤ day ≤ ``end``."""
    is_first = start.day in days_of(rule, start.year, start.month)
    day = start if is_first else _next_day(rule, start)
    while day is not None and day <= end:
        yield day
        day = _next_day(rule, day)


def _last_day(rule: DayRule, day: date) -> date | None:
    days = days_of(rule, day.year, day.month)
    index = bisect_left(days, day.day)
    if index:
        return day.replace(day=days[index - 1])
    year, month = day.year, day.month
    for _ in range(12 * RAREST):
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
        if year < date.min.year:
            return None
        days = days_of(rule, year, month)
        if days:
            return date(year, month, days[-1])
    return None


def _count_days(rule: DayRule, start: date, end: date) -> int:
    """Return the number of matching days in ``start`` ≤ day < ``end``."""
    months = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    whole = sum(len(days_of(rule, month // 12, month % 12 + 1)) for month in months)
    before = bisect_left(days_of(rule, start.year, start.month), start.day)
    days = days_of(rule, end.year, end.month)
    return whole - before - (len(days) - bisect_left(days, end.day))


def _count_of_day(fields: Fields, moment: datetime) -> int:
    """Return the number of matching times on the day of ``moment``, up to and including it."""
    if moment.day not in days_of(fields.day_rule, moment.year, moment.month):
        return 0
    hours, minutes, seconds = fields.hours, fields.minutes, fields.seconds
    count = bisect_left(hours, moment.hour) * len(minutes) * len(seconds)
    if moment.hour in hours:
        count += bisect_left(minutes, moment.minute) * len(seconds)
        if moment.minute in minutes:
            count += bisect_right(seconds, moment.second)
    return count
