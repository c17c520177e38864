"""The past and upcoming runs of tasks within a window, as tracks of bars."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from sisy.models import Run, RunState
from sisy.records.choices import TROUBLE_STATES
from sisy.reports.by_state import entries, keys_of, troubled
from sisy.reports.durations import usual
from sisy.reports.ledger import DRAWN, newest_of_each
from sisy.reports.task_rows import TaskRow
from sisy.reports.timeline.bars import Bar, begin_of, joined_bars, singles_of
from sisy.reports.timeline.counting import count_successes, of_tasks
from sisy.reports.timeline.queued import QueuedStretch, queued_stretches
from sisy.reports.timeline.stretches import Stretch, succeeded
from sisy.reports.timeline.upcoming import Upcoming, joined, upcoming
from sisy.reports.timeline.window import Window
from sisy.store.reports import KEY_SLACK, key_at

MAX_BARS = 800  # runs of all tasks together that are drawn one by one
MAX_OF_EACH, MIN_OF_EACH = 120, 15  # of each task
MAX_TROUBLE_RUNS = 1000  # runs that did not succeed, of all tasks together
MAX_RUNNING = 200  # running runs of all tasks together


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The runs of a row of tasks."""

    row: TaskRow
    bars: list[Bar]
    upcoming: Upcoming
    usual: timedelta | None
    """The usual duration of the task's runs; None for several tasks."""
    undrawn: tuple[Stretch, ...]
    """The stretches with successful runs that are too numerous to draw one by one."""
    queued: list[QueuedStretch]
    """The stretches with queued runs that are too numerous to draw one by one."""


def timeline(
    using: str,
    rows: Sequence[TaskRow],
    window: Window,
    now: datetime,
    *,
    newest: Mapping[int, list[Run]] | None = None,
    in_full: bool,
) -> list[Track]:
    """Return a track for each row of tasks, in their order.

    Args:
        newest: the newest runs of the tasks, at least `bars_of_each`, if they have been read. Only
            for a window that contains ``now``.
        in_full: whether the texts of errors are shown; see `sisy.reports.disclosure`.
    """
    drawn = bars_of_each(rows)
    runs, oldest = _runs(using, drawn, window, newest, now)
    until = {pk: min(now, begin_of(run)) for pk, run in oldest.items()}
    before = {pk: run.pk for pk, run in oldest.items()}
    well = succeeded(using, until, window)
    queued = queued_stretches(using, before, window)
    singles = [
        singles_of((run for task in row.tasks for run in runs[task.pk]), window, now, in_full)
        for row in rows
    ]
    columns, counted = count_successes(using, singles, before, well.unplanned, window)
    tracks = []
    for row, of_row in zip(rows, singles, strict=True):
        keys = [task.pk for task in row.tasks]
        usuals = [usual(runs[key]) for key in keys]
        coming = [
            upcoming(task, window, now, takes, _running(runs[task.pk]))
            for task, takes in zip(row.tasks, usuals, strict=True)
        ]
        stretches = {one for key in keys for one in well.stretches.get(key, ())}
        tracks.append(
            Track(
                row=row,
                bars=joined_bars(of_row, columns, of_tasks(counted, keys), window),
                upcoming=coming[0] if len(coming) == 1 else joined(coming),
                usual=usuals[0] if len(usuals) == 1 else None,
                undrawn=tuple(sorted(stretches)),
                queued=[one for key in keys for one in queued.get(key, ())],
            )
        )
    return tracks


def bars_of_each(rows: Sequence[TaskRow]) -> dict[int, int]:
    """Return how many runs of each task are drawn one by one, by its key."""
    # Tasks that share rows take nothing away from those that have rows of their own.
    numbers = Counter(row.task is None for row in rows for _ in row.tasks)
    return {
        task.pk: max(MIN_OF_EACH, min(MAX_OF_EACH, MAX_BARS // numbers[row.task is None]))
        for row in rows
        for task in row.tasks
    }


def _runs(
    using: str,
    drawn: Mapping[int, int],
    window: Window,
    newest: Mapping[int, list[Run]] | None,
    now: datetime,
) -> tuple[dict[int, list[Run]], dict[int, Run]]:
    """Return, by task, the runs that are drawn one by one, and the oldest of the newest ones.

    These are the newest runs of the window, and older runs that are running or did not succeed. A
    task has an oldest one only if the window has others before it.
    """
    before = None if window.end >= now else key_at(using, window.end)
    if newest is None:
        newest = newest_of_each(using, drawn, before)
    runs = {pk: newest[pk][:number] for pk, number in drawn.items()}
    oldest = {
        pk: runs[pk][number - 1]
        for pk, number in drawn.items()
        if len(runs[pk]) >= number and begin_of(runs[pk][number - 1]) > window.start
    }
    for run in _older(using, list(oldest), window, before):
        if run.task_id is not None and run.pk < oldest[run.task_id].pk:
            runs[run.task_id].append(run)
    return runs, oldest


def _older(using: str, tasks: Sequence[int], window: Window, before: int | None) -> Iterable[Run]:
    """Return running runs, and those that were planned in the window and did not succeed."""
    if not tasks:
        return []
    since = key_at(using, window.start - KEY_SLACK)
    ended = troubled(using, TROUBLE_STATES, tasks).filter(run_id__gte=since)
    running = entries(using, RunState.RUNNING).filter(task_id__in=tasks)
    keys = keys_of(ended, MAX_TROUBLE_RUNS, before) + keys_of(running, MAX_RUNNING, before)
    in_trouble = Q(state__in=TROUBLE_STATES, planned_at__gte=window.start)
    runs = Run.objects.using(using).filter(in_trouble | Q(state=RunState.RUNNING), pk__in=keys)
    return runs.order_by("-pk").only("task", *DRAWN)


def _running(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run.state == RunState.RUNNING]
