"""Notes on occurrences around daylight saving time changes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from django.utils.translation import gettext

from sisy.models import Task
from sisy.planning.timing import occurrences
from sisy.runtime.durations import duration_text
from sisy.schedules.zones import zone_named

DAYS_AHEAD = 366
WHILE_BEFORE = timedelta(hours=3)  # an hour that occurs twice begins before the change
MAX_LOOKED_AT = 500  # occurrences
MAX_NOTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A due moment, as local time in the schedule's zone."""

    due: datetime
    local: str
    note: str
    """The note about a clock change; empty if there is none."""


def with_notes(moments: Iterable[datetime], zone: str, before: datetime) -> Iterator[Occurrence]:
    """Yield each moment with its note; the first one is compared with ``before``.

    Raises:
        ScheduleError: the zone does not exist.
    """
    where = zone_named(zone)
    offset = before.astimezone(where).utcoffset()
    for due in moments:
        local = due.astimezone(where)
        now = local.utcoffset()
        yield Occurrence(
            due=due, local=f"{local:%a %Y-%m-%d %H:%M:%S %Z}", note=_note(local, offset)
        )
        offset = now


def next_clock_change(zone: str, after: datetime) -> datetime | None:
    """Return the next moment at which the clocks of a zone change; None if none does in a year.

    It is exact to the minute.
    """
    where = zone_named(zone)
    days = (after + timedelta(days=number) for number in range(DAYS_AHEAD))
    for start, end in pairwise(days):
        if _offset(start, where) != _offset(end, where):
            while end - start > timedelta(minutes=1):
                middle = start + (end - start) / 2
                is_before = _offset(middle, where) == _offset(start, where)
                start, end = (middle, end) if is_before else (start, middle)
            return end.replace(second=0, microsecond=0)
    return None


def around(task: Task, change: datetime) -> list[Occurrence]:
    """Return the first occurrences of a task that a change of the clocks affects."""
    since = change - WHILE_BEFORE
    until = change + timedelta(days=1)
    due = takewhile(lambda moment: moment < until, occurrences(task, since))
    known = with_notes(islice(due, MAX_LOOKED_AT), task.timezone, since)
    return list(islice((each for each in known if each.note), MAX_NOTES))


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _note(local: datetime, offset: timedelta | None) -> str:
    now = local.utcoffset()
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset() and _is_real(local):
        if local.fold:
            return gettext("The clocks go back: this local time occurs twice. This is the second.")
        return gettext("The clocks go back: this local time occurs twice. This is the first.")
    if now is None or offset is None or now == offset:
        return ""
    if now > offset:
        return gettext("Before this occurrence, the clocks go forward by %s.") % duration_text(
            now - offset
        )
    return gettext("Before this occurrence, the clocks go back by %s.") % duration_text(
        offset - now
    )


def _is_real(local: datetime) -> bool:
    """Return whether the local time exists, and is not skipped in spring."""
    there_and_back = local.astimezone(UTC).astimezone(local.tzinfo)
    return there_and_back.replace(tzinfo=None) == local.replace(tzinfo=None)
