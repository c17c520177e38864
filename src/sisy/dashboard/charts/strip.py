"""The due moments of a schedule, as marks on a day or a week."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sisy.reports.timeline.window import Window
from sisy.schedules import Schedule
from sisy.schedules.calendar import just_before

MARKS = 400  # distinct positions on a strip


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A range of time with its marks, at positions in percent of the width."""

    marks: list[float]
    ticks: list[tuple[float, str]]
    count: int
    now_at: float | None


def day_strip(schedule: Schedule, now: datetime) -> Strip:
    """Return the current day in the schedule's zone, from midnight to midnight."""
    return _strip(schedule, _midnight(schedule, now), timedelta(days=1), now)


def week_strip(schedule: Schedule, now: datetime) -> Strip:
    """Return the current week in the schedule's zone, from Monday on."""
    midnight = _midnight(schedule, now)
    return _strip(schedule, midnight - timedelta(days=midnight.weekday()), timedelta(days=7), now)


def _midnight(schedule: Schedule, now: datetime) -> datetime:
    local = now.astimezone(ZoneInfo(schedule.timezone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _strip(schedule: Schedule, start: datetime, span: timedelta, now: datetime) -> Strip:
    # Local time, so that a day of 23 or 25 hours is drawn in full.
    window = Window(start=start.astimezone(now.tzinfo), end=(start + span).astimezone(now.tzinfo))
    step = window.span / MARKS
    marks: list[float] = []
    due = schedule.next_after(just_before(window.start))
    while due is not None and due < window.end:
        marks.append(window.place(due))
        # One mark per position is enough, however often the schedule is due there.
        next_place = window.start + step * (int((due - window.start) / step) + 1)
        due = schedule.next_after(just_before(next_place))
    return Strip(
        marks=marks,
        ticks=window.ticks(start.tzinfo or now.tzinfo),  # type: ignore[arg-type]
        count=schedule.count_between(just_before(window.start), just_before(window.end)),
        now_at=window.place(now) if window.holds(now) else None,
    )
