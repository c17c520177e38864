"""A schedule: a cron expression in a time zone, across changes of the clock.

A zone's time consists of spans with a constant offset. `wall_clock` searches the local times of
each span. Where spans meet, Sisy follows Debian's cron(8). If the clock goes forward by up to
three hours, fixed times in the gap are due at the first instant after it. If the clock goes back,
fixed times that were due before are not due again. Starred schedules follow elapsed time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sisy.exceptions import ScheduleError
from sisy.schedules import calendar
from sisy.schedules.calendar import TICK
from sisy.schedules.expression import Fields, parse
from sisy.schedules.wall_clock import count_walls, last_wall, next_wall, walls_between
from sisy.schedules.zones import Span, span_at, zone_named

FAR = timedelta(days=3)  # more than any offset from UTC or any change of it
FIRST, LAST = calendar.FIRST.replace(tzinfo=None), calendar.LAST.replace(tzinfo=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of a time range in which a zone's offset stays the same.

    Attributes:
        start: the start, in naive UTC.
        local_start: the same moment, in naive local time.
        is_due_at_start: whether a span of the zone begins there, and that moment is due.
        after: naive local time; the other due moments are in ``after`` < time ≤ ``until``.
        until: naive local time.
    """

    start: datetime
    local_start: datetime
    is_due_at_start: bool
    after: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """A rule that says when something repeats.

    Args:
        expression: five cron fields, or six with seconds last; see the schedule reference.
        timezone: the IANA name of the expression's time zone; ``"UTC"`` by default.
        key: the text on which ``h`` depends, so that schedules spread out; empty by default.

    Attributes:
        fields: the values that each field of the expression allows.

    Raises:
        ScheduleError: the expression or the zone is invalid, or the schedule can never match.
    """

    expression: str
    timezone: str = "UTC"
    key: str = ""
    fields: Fields = field(init=False, repr=False, compare=False)
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = parse(self.expression, self.key)
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "_zone", zone_named(self.timezone))
        if next_wall(fields, datetime(2000, 1, 1)) is None:
            raise ScheduleError(
                f"The schedule {self.expression!r} can never match: its day does not exist in "
                "any of its months."
            )

    @property
    def is_starred(self) -> bool:
        """Return whether the schedule follows elapsed time: minute or hour begins with ``*``."""
        return self.fields.is_starred

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first due moment strictly after ``moment``, in UTC.

        None if there is none before the year 9999.

        Raises:
            ValueError: ``moment`` has no time zone.
        """
        due = self._next(_naive_utc(moment))
        return None if due is None else due.replace(tzinfo=UTC)

    def last_until(self, moment: datetime) -> datetime | None:
        """Return the latest due moment at or before ``moment``, in UTC.

        None if there is none since the year 1000.

        Raises:
            ValueError: ``moment`` has no time zone.
        """
        if moment.tzinfo is not None and moment < calendar.FIRST:
            return None
        due = self._last(_naive_utc(moment))
        return None if due is None else due.replace(tzinfo=UTC)

    def count_between(self, after: datetime, until: datetime) -> int:
        """Return the number of due moments in ``after`` < due ≤ ``until``, without listing them.

        Raises:
            ValueError: a moment has no time zone.
        """
        return sum(
            stretch.is_due_at_start + count_walls(self.fields, stretch.after, stretch.until)
            for stretch in self._stretches(after, until)
        )

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the due moments in ``after`` < due ≤ ``until``, in order and in UTC.

        Much faster than calling `next_after` many times.

        Raises:
            ValueError: a moment has no time zone.
        """
        for stretch in self._stretches(after, until):
            start, local_start = stretch.start.replace(tzinfo=UTC), stretch.local_start
            if stretch.is_due_at_start:
                yield start
            for wall in walls_between(self.fields, stretch.after, stretch.until):
                yield start + (wall - local_start)

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        """Return up to ``count`` due moments after ``moment``."""
        found: list[datetime] = []
        due = self.next_after(moment)
        while due is not None and len(found) < count:
            found.append(due)
            due = self.next_after(due)
        return found

    def _stretches(self, after: datetime, until: datetime) -> Iterator[Stretch]:
        """Yield the parts of ``after`` < time ≤ ``until``, in order."""
        start, end = _naive_utc(after), _naive_utc(until)
        is_first = True
        while start < end or (start == end and not is_first):
            span = span_at(self._zone, start)
            local_start = start + span.offset
            yield Stretch(
                start=start,
                local_start=local_start,
                is_due_at_start=not is_first and self._is_due_at_start(span),
                after=max(local_start, self._floor(span)),
                until=min(end, span.end - TICK) + span.offset,
            )
            start, is_first = span.end, False

    def _next(self, moment: datetime) -> datetime | None:
        while True:
            span = span_at(self._zone, moment)
            local = next_wall(self.fields, max(moment + span.offset, self._floor(span)))
            if local is None or local > LAST + FAR:
                return None
            due = local - span.offset
            if due < span.end:
                return due if due <= LAST else None
            if span.end > LAST:
                return None
            # Skip the spans in between, in which nothing can be due.
            if due - span.end > FAR:
                moment = due - FAR
                continue
            moment = span.end
            if self._is_due_at_start(span_at(self._zone, moment)):
                return moment

    def _last(self, moment: datetime) -> datetime | None:
        while True:
            span = span_at(self._zone, moment)
            local = last_wall(self.fields, moment + span.offset)
            if local is None:
                return None
            due = local - span.offset
            if due < FIRST:
                return None
            if due > span.start and local > self._floor(span):
                return due
            if self._is_due_at_start(span):
                return span.start
            moment = min(span.start, due + FAR) - TICK

    def _floor(self, span: Span) -> datetime:
        """Return the local time up to which a span repeats the local times of the span before."""
        if span.is_after_fold and not self.is_starred:
            return span.start + span.offset - span.change - TICK
        return datetime.min

    def _is_due_at_start(self, span: Span) -> bool:
        """Return whether the first instant of a span is due."""
        # After a gap, the fixed times that were skipped are due at its end.
        start = span.start + span.offset
        if span.is_after_gap and not self.is_starred:
            local = next_wall(self.fields, start - span.change - TICK)
        elif span.is_after_fold and not self.is_starred:
            return False
        else:
            local = next_wall(self.fields, start - TICK)
        return local is not None and local <= start


def _naive_utc(moment: datetime) -> datetime:
    return calendar.within(moment).replace(tzinfo=None)
