"""What the user did and when, and from that the times in which each task has which schedule."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tests.chaos.evidence import LONGEST_LEAD, Active, Span

JUST_BEFORE = 0.001
# Seconds by which the clock of whoever changes a task may be behind: of an edit just after a due
# moment, no log can say on which side of it the edit was.
READING_ERROR = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that begins or ends the planning of a task, at a moment within ``when``.

    Attributes:
        schedule: from then on; None if it is not planned any more.
        priority: from then on.
        found_after: seconds until Sisy finds a change by raw SQL at the latest, and infinity if it
            may never do. Until then it plans by the schedule before, or by the new one.
    """

    key: str
    when: Span
    schedule: str | None
    priority: int = 0
    found_after: float = 0.0


class Journal:
    """Changes of tasks, from any thread."""

    def __init__(self) -> None:
        self._changes: dict[str, list[Change]] = defaultdict(list)
        self._lock = threading.Lock()

    def write(self, change: Change) -> None:
        with self._lock:
            self._changes[change.key].append(change)

    def of(self, key: str) -> list[Change]:
        return sorted(self._changes[key], key=lambda change: change.when)


def by_the_database(changes: Sequence[Change], bounds: Callable[[float], Span]) -> list[Change]:
    """Return the changes with their moments by the database's clock, as far apart as they may be.

    Args:
        bounds: returns between which moments the database's clock was at one of the time line.
    """
    return [
        replace(change, when=(bounds(change.when[0])[0], bounds(change.when[1])[1]))
        for change in changes
    ]


def active(changes: Sequence[Change], timezone: str, start: float) -> tuple[Active, ...]:
    """Return the stretches from ``start`` on in which a task has a schedule.

    The last change ends the last one.
    """
    changes = _carrying_on(changes)
    found = []
    first = start - JUST_BEFORE
    for number, (begin, end) in enumerate(pairwise(changes)):
        may_end = _surely_ended(changes, number + 1)
        if begin.schedule is None or may_end < start:
            continue
        found.append(
            Active(
                schedule=begin.schedule,
                timezone=timezone,
                priority=begin.priority,
                may=(max(first, begin.when[0]), may_end),
                must=(max(first, begin.when[1] + begin.found_after), end.when[0] - READING_ERROR),
                is_found_later=begin.found_after > 0,
            )
        )
    return tuple(found)


def _carrying_on(changes: Sequence[Change]) -> list[Change]:
    """Let changes that leave the schedule as it is find no change by raw SQL before them."""
    carried: list[Change] = []
    for change in changes:
        before = carried[-1] if carried else None
        if before is not None and before.found_after and before.schedule == change.schedule:
            left = before.when[1] + before.found_after - change.when[1]
            change = replace(change, found_after=max(change.found_after, left, 0.0))
        carried.append(change)
    return carried


def _surely_ended(changes: Sequence[Change], number: int) -> float:
    """Return from when on nothing falls due any more by what held before a change."""
    change = changes[number]
    if not change.found_after:
        return change.when[1] + LONGEST_LEAD  # a run that has started stays
    found = change.when[1] + change.found_after
    # Another change of the schedule makes Sisy look at the task.
    is_last = number + 1 == len(changes)
    return found if is_last else min(found, _surely_ended(changes, number + 1))
