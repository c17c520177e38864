"""The reason why a backfill runs each occurrence: its newest run, or that there is none."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils.translation import gettext, ngettext

from sisy.models import Run, Task, TaskState
from sisy.planning.timing import next_unplanned
from sisy.reports import formatting


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """The reason for one occurrence.

    Attributes:
        due: when it was due.
        state: the state of its newest run; empty if there is none.
        words: the state, or why there is no run, such as "no run recorded".
        run: the key of its newest run, which may stand for several missed occurrences.
    """

    due: datetime
    state: str
    words: str
    run: int | None


def reasons_of(task: Task, due: Sequence[datetime], using: str) -> list[Reason]:
    """Return the reasons for some occurrences of a task, sorted by when they were due."""
    if not due:
        return []
    newest = _newest_runs(task, due, using)
    planned_next = next_unplanned(task) if task.state == TaskState.ACTIVE else None
    found = []
    for moment in due:
        run = newest.get(moment)
        is_planned = planned_next is None or moment < planned_next
        missing = gettext("no run recorded") if is_planned else gettext("not planned yet")
        found.append(
            Reason(
                due=moment,
                state=run.state if run else "",
                words=formatting.name_of_state(run.state) if run else missing,
                run=run.pk if run else None,
            )
        )
    return found


def nothing_to_backfill(left_out: int) -> str:
    """Say why a backfill would run none of the occurrences of a range, one or more."""
    words = ngettext(
        "Nothing to backfill: the only occurrence has succeeded, is queued or running, or is not "
        "planned yet.",
        "Nothing to backfill: all %(number)d occurrences have succeeded, are queued or running, "
        "or are not planned yet.",
        left_out,
    )
    return words % {"number": left_out}


def by_reason(reasons: Iterable[Reason]) -> str:
    """Return how many occurrences each reason has, such as "missed: 19, failed: 2"."""
    counts = Counter(reason.words for reason in reasons)
    return ", ".join(f"{words}: {number:,}" for words, number in counts.most_common())


def _newest_runs(task: Task, due: Sequence[datetime], using: str) -> dict[datetime, Run]:
    first, last = due[0], due[-1]
    at_it = Q(due_at__range=(first, last)) | Q(occurrence_at__range=(first, last))
    around = Q(due_at__lte=last, due_until__gte=first)
    runs = Run.objects.using(using).filter(task=task.pk).filter(at_it | around).order_by("pk")
    found: dict[datetime, Run] = {}
    for run in runs.only("state", "due_at", "due_until", "occurrence_at"):
        begin = run.occurrence_at or run.due_at
        assert begin is not None, "the query leaves out runs without an occurrence"
        for moment in due[bisect_left(due, begin) : bisect_right(due, run.due_until or begin)]:
            found[moment] = run
    return found
