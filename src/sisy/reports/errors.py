"""The tasks with failed or missed runs in the last 24 hours.

The database counts the failed and missed runs of the last 24 hours, so that their numbers are
exact at any size. Successful runs of a task are counted if they were planned at most an hour
before these 24 hours. Those without a task are counted if the newest runs reach back that far.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, CharField, Count, F, Max, Min, Q, Sum, Value, When

from sisy.models import Origin, Run, RunState
from sisy.models.run import RunQuerySet
from sisy.records.choices import FAILED_STATES
from sisy.records.small_tables import TroubledRun
from sisy.reports.by_state import NewestRuns
from sisy.store.judging import latest_ended
from sisy.store.reports import key_at
from sisy.store.run_queries import has_task, known_task

LATELY = timedelta(hours=24)
MAX_GROUPS_SHOWN = 20
MAX_DURATION_COUNTED = timedelta(hours=1)  # between a run's planning and its end

# The task of a run of run_once() or django.tasks is deleted some time after its run.
_ONE_SHOT = Q(origin__in=(Origin.ONCE, Origin.ENQUEUED))
_OF_A_TASK = Q(has_task(Run)) & ~_ONE_SHOT

Key = tuple[int | None, str]
"""The key of a task, or None and the path of a function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentTrouble:
    """The runs of one task, or those without a task that call one function.

    Attributes:
        label: the label of the task or of all runs; the path of the function if the labels differ.
        number: how many runs failed, or how many occurrences were missed.
        of: how many runs ended in that time, including these; None if they are too many to count.
        newest: the newest run that failed or was missed.
        has_recovered: whether the task's latest run that succeeded or failed has succeeded.
    """

    key: Key
    label: str
    number: int
    of: int | None
    newest: Run
    has_recovered: bool = False


def failing(using: str, now: datetime) -> tuple[list[RecentTrouble], int]:
    """Return the tasks with failed runs, and how many further tasks have some.

    The task that started to fail most recently comes first, so that rows keep their places.
    """
    rows, more = first_of(_by_owner(_lately(using, FAILED_STATES, now)))
    succeeded = _succeeded(using, [_key(row) for row in rows], now)
    recovered = _recovered(using, [row["owner"] for row in rows if row["owner"] is not None])
    return [
        _group(
            row,
            newest,
            of=_together(row["number"], succeeded.get(_key(row), 0)),
            has_recovered=row["owner"] in recovered,
        )
        for row, newest in _with_newest(using, rows)
    ], more


def missed(using: str, now: datetime) -> tuple[list[RecentTrouble], int]:
    """Return the tasks with missed occurrences, and how many further tasks have some."""
    rows, more = first_of(_by_owner(_lately(using, (RunState.MISSED,), now)))
    return [_group(row, newest, of=0) for row, newest in _with_newest(using, rows)], more


def _lately(using: str, states: Collection[str], now: datetime) -> RunQuerySet:
    ended = TroubledRun.objects.using(using).filter(
        finished_at__gte=now - LATELY, state__in=states
    )
    runs: RunQuerySet = Run.objects.using(using).filter(pk__in=ended.values("run_id"))
    return runs


def _by_owner(runs: RunQuerySet) -> Any:
    return (
        _keyed(runs)
        .annotate(
            number=Sum("count"),
            first=Min("pk"),
            newest=Max("pk"),
            one_label=Min("label"),
            other_label=Max("label"),
        )
        .order_by("-first")
    )


def _keyed(runs: RunQuerySet) -> Any:
    owner = Case(When(_ONE_SHOT, then=None), default=known_task(Run))
    path = Case(
        When(owner__isnull=True, then=F("target_path")),
        default=Value(""),
        output_field=CharField(),
    )
    return runs.order_by().annotate(owner=owner, path=path).values("owner", "path")


def _key(row: dict[str, Any]) -> Key:
    return row["owner"], row["path"]


def first_of(rows: Any) -> tuple[list[Any], int]:
    """Return the rows to show, and how many more there are."""
    found = list(rows[: MAX_GROUPS_SHOWN + 1])
    more = rows.count() - MAX_GROUPS_SHOWN if len(found) > MAX_GROUPS_SHOWN else 0
    return found[:MAX_GROUPS_SHOWN], more


def _with_newest(using: str, rows: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], Run]]:
    """Return each row with the run that it names, without rows whose run was just pruned."""
    runs = Run.objects.using(using).defer("payload", "result", "error")
    newest = runs.in_bulk([row["newest"] for row in rows]) if rows else {}
    return [(row, newest[row["newest"]]) for row in rows if row["newest"] in newest]


def _group(row: dict[str, Any], newest: Run, **more: Any) -> RecentTrouble:
    is_one = row["owner"] is not None or row["one_label"] == row["other_label"]
    label = newest.label if is_one else row["path"]
    return RecentTrouble(key=_key(row), label=label, number=row["number"], newest=newest, **more)


def _together(failed: int, succeeded: int | None) -> int | None:
    return None if succeeded is None else failed + succeeded


def _succeeded(using: str, keys: Sequence[Key], now: datetime) -> dict[Key, int | None]:
    """Return how many runs of each group succeeded; None if they are too many to count."""
    tasks = [owner for owner, _ in keys if owner is not None]
    paths = [path for owner, path in keys if owner is None]
    found: dict[Key, int | None] = {}
    if tasks:  # an index serves the newest runs of a task
        planned = Run.objects.using(using).filter(
            pk__gte=key_at(using, now - LATELY - MAX_DURATION_COUNTED)
        )
        found |= _numbers(planned.filter(Q(task__in=tasks) & _OF_A_TASK), now)
    if paths:
        newest = NewestRuns.of(using)
        if newest.reach(now - LATELY):
            found |= _numbers(newest.runs.filter(Q(target_path__in=paths) & ~_OF_A_TASK), now)
        else:
            found |= {(None, path): None for path in paths}
    return found


def _numbers(runs: RunQuerySet, now: datetime) -> dict[Key, int]:
    well = runs.filter(state=RunState.SUCCEEDED, finished_at__gte=now - LATELY)
    return {_key(row): row["number"] for row in _keyed(well).annotate(number=Count("pk"))}


def _recovered(using: str, tasks: Collection[int]) -> set[int | None]:
    """Return the keys in ``tasks`` whose latest run that succeeded or failed has succeeded."""
    latest = latest_ended(using, dict.fromkeys(tasks, 1))
    return {task for task, runs in latest.items() if runs[0].is_success}
