"""Which occurrences of a task must be in the ledger, and which may be."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from sisy.schedules import Schedule
from tests.chaos.evidence import Active, Row, Span, Subject
from tests.chaos.moments import datetime_of, of

NOT_COUNTED = ("missed", "skipped")
"""States of occurrences that use up no iteration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrences:
    must: frozenset[float]
    may: frozenset[float]


def occurrences(subject: Subject, rows: Collection[Row]) -> Occurrences:
    """Return the due moments of a task; where its iterations end it, the ledger says when."""
    must: set[float] = set()
    may: set[float] = set()
    for active in subject.active:
        text, zone, key = active.schedule, active.timezone, subject.key
        may |= due_between(text, zone, key, active.may)
        must |= due_between(text, zone, key, active.must)
    for before, after in pairwise(subject.active):
        # An edit of something else withdraws what was planned ahead, and loses no occurrence.
        if _is_same(before, after):
            edit = (before.must[1], after.must[0])
            must |= due_between(before.schedule, before.timezone, subject.key, edit)
    if subject.first_due is not None:
        may.add(subject.first_due)
        must.add(subject.first_due)
    last = _last_iteration(subject, rows)
    end = subject.end_running
    must = {due for due in must if (end is None or due < end) and (last is None or due <= last)}
    may = {due for due in may if end is None or due < end}
    return Occurrences(must=frozenset(must), may=frozenset(may | must))


def _is_same(before: Active, after: Active) -> bool:
    """Whether a task goes on by the same schedule."""
    same = (before.schedule, before.timezone) == (after.schedule, after.timezone)
    was_found = not (before.is_found_later or after.is_found_later)
    return same and was_found and after.may[0] <= before.may[1]


def counted(rows: Collection[Row]) -> list[Row]:
    """Return the rows that use up an iteration."""
    return [row for row in rows if row.origin == "schedule" and row.state not in NOT_COUNTED]


def _last_iteration(subject: Subject, rows: Collection[Row]) -> float | None:
    taken = sorted(row.due for row in counted(rows) if row.due is not None)
    if subject.iterations is None or len(taken) < subject.iterations:
        return None
    return taken[subject.iterations - 1]


@cache
def due_between(text: str, zone: str, key: str, span: Span) -> frozenset[float]:
    """Return the due moments after the first moment of ``span``, up to the last one."""
    start, end = span
    found: set[float] = set()
    if not start < end:
        return frozenset()
    schedule = Schedule(text, zone, key=key)
    moment = schedule.next_after(datetime_of(start))
    while moment is not None and (due := of(moment)) <= end:
        found.add(due)
        moment = schedule.next_after(moment)
    return frozenset(found)
