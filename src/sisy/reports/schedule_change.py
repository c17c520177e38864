"""Compare the occurrences of a task before and after a change of its schedule."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby, islice
from operator import itemgetter

from sisy.models import Task
from sisy.planning.timing import Timing

MAX_COMPARED = 20  # occurrences, of both schedules together
MIN_LEFT = 5  # occurrences that there still are after the change


class Effect(StrEnum):
    """The effect of a change on an occurrence."""

    SAME = "same"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An upcoming occurrence of the old schedule, of the new one, or of both."""

    due: datetime
    effect: Effect


def changes(
    before: Iterable[datetime], after: Iterable[datetime], limit: int = MAX_COMPARED
) -> list[Change]:
    """Return the first occurrences of two schedules, in order, each with what changes.

    Args:
        before: the due moments of the old schedule, in order.
        after: the due moments of the new one, in order.
    """
    moments = heapq.merge(
        ((due, Effect.GONE) for due in before), ((due, Effect.NEW) for due in after)
    )
    return list(islice(_combined(moments), limit))


def _combined(moments: Iterable[tuple[datetime, Effect]]) -> Iterator[Change]:
    for due, several in groupby(moments, itemgetter(0)):
        effects = {effect for _, effect in several}
        yield Change(due=due, effect=effects.pop() if len(effects) == 1 else Effect.SAME)


def changes_of(task: Task, changed: Task, now: datetime) -> list[Change]:
    """Return what a change of its schedule does to the next occurrences of a task.

    Args:
        changed: a copy of the task with the new schedule and time zone.

    Raises:
        ScheduleError: the new schedule or time zone is not valid. A task whose present one is not
            valid has only new occurrences.
    """
    new = _upcoming(Timing.of(changed), now)
    try:
        old = Timing.of(task)
    except ValueError:
        return changes((), new)
    return changes(_upcoming(old, now), new)


def later_of(changed: Task, found: Sequence[Change]) -> list[datetime]:
    """Return further occurrences after a change, if those that were found are mostly removed.

    Whoever thins out a schedule sees otherwise only what is gone.

    Args:
        changed: a copy of the task with the new schedule and time zone.
        found: what `changes_of` returned.
    """
    left = sum(change.effect != Effect.GONE for change in found)
    if left >= MIN_LEFT or len(found) < MAX_COMPARED:
        return []
    return list(islice(_upcoming(Timing.of(changed), found[-1].due), MIN_LEFT - left))


def _upcoming(timing: Timing, now: datetime) -> Iterator[datetime]:
    due = timing.next_after(now)
    while due is not None:
        yield due
        due = timing.next_after(due)
