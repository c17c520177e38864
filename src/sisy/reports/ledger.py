"""The ledger: lists of runs, the newest runs of tasks, counts, and the runs around a run.

Runs are listed newest first, a page at a time. `sisy.reports.run_search` finds those that match.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.models import Run, RunState
from sisy.models.run import RunQuerySet
from sisy.records.choices import LIVE_STATES, TROUBLE_STATES
from sisy.records.small_tables import planned_ahead
from sisy.reports.by_state import NewestRuns, entries
from sisy.store.reports import AFTER_ALL, newest_keys, newest_trouble
from sisy.store.run_queries import known_task

PAGE_LIMIT = 50
MAX_COUNTED = 10_000  # runs; if there are more, a count is only a lower bound
MAX_TROUBLE_READ = 2000  # newest rows of each state that is rare
DRAWN = (
    *("state", "count", "reason", "error_class"),
    *("occurrence_at", "due_at", "due_until", "ready_at", "started_at", "finished_at"),
    *("cancel_reason", "cancel_requested_at", "cancel_force"),
)
"""The columns that squares and bars of runs show, and that show how long runs usually take."""


def listed(using: str) -> RunQuerySet:
    """Return all runs for a list, without long columns, and with ``known_task``."""
    runs: RunQuerySet = Run.objects.using(using).annotate(known_task=known_task(Run))
    return runs.defer("payload", "result", "error")


def page_of(runs: RunQuerySet, before: int | None) -> tuple[list[Run], int | None]:
    """Return the newest ``runs`` below a key, and the key that the next page starts below."""
    if before is not None:
        runs = runs.filter(pk__lt=before)
    found = list(runs.order_by("-pk")[: PAGE_LIMIT + 1])
    return found[:PAGE_LIMIT], found[PAGE_LIMIT - 1].pk if len(found) > PAGE_LIMIT else None


def by_occurrence(runs: Iterable[Run]) -> list[Run]:
    """Return runs of a task that were read by their keys in the order of their occurrences.

    The latest one is the first. Missed occurrences are recorded when a heartbeat is back, and a
    backfill or a retry runs an occurrence of the past, so their keys are newer than they are.
    """
    # Within what was read: to find runs by their occurrences, an index would be needed.
    return sorted(runs, key=lambda run: (run.moment, run.pk), reverse=True)


def key_of(text: str) -> int | None:
    """Return the key in a URL; None if it is not a key."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def newest_runs(
    using: str, tasks: Collection[int], count: int, before: int | None = None
) -> RunQuerySet:
    """Return the newest ``count`` runs of each task, all together, newest first.

    Args:
        before: the key of a run; only older runs are returned.
    """
    runs = Run.objects.using(using)
    if not tasks:
        return runs.none()
    pks = newest_keys(using, tasks, count, AFTER_ALL if before is None else before)
    return runs.filter(pk__in=pks).order_by("-pk")


def newest_by_task(
    using: str,
    tasks: Collection[int],
    count: int,
    before: int | None = None,
    columns: Sequence[str] = DRAWN,
) -> dict[int, list[Run]]:
    """Return the newest ``count`` runs of each task, newest first, by the key of the task.

    Args:
        before: the key of a run; only older runs are returned.
        columns: what is read of each run, by default what is drawn.
    """
    runs: dict[int, list[Run]] = {task: [] for task in tasks}
    for run in newest_runs(using, tasks, count, before).only("task", *columns):
        if run.task_id is not None:
            runs[run.task_id].append(run)
    return runs


def newest_of_each(
    using: str, counts: Mapping[int, int], before: int | None = None
) -> dict[int, list[Run]]:
    """Return as many of the newest runs of each task as ``counts`` says, by the key of the task.

    It takes two statements for each number that occurs.
    """
    found: dict[int, list[Run]] = {}
    for count in sorted(set(counts.values())):
        tasks = [task for task, number in counts.items() if number == count]
        found |= newest_by_task(using, tasks, count, before)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The number of runs in a state; a minimum if not all were counted."""

    state: str
    number: int
    is_all: bool

    def __str__(self) -> str:
        return f"{self.number:,}" if self.is_all else f"{self.number:,}+"


def live_counts(using: str, now: datetime) -> list[Counted]:
    """Return how many runs are queued, and how many are running."""
    live = {state: entries(using, state).order_by() for state in LIVE_STATES}
    live[RunState.QUEUED] = live[RunState.QUEUED].exclude(planned_ahead(now))
    return [_capped(state, found[:MAX_COUNTED].count()) for state, found in live.items()]


def ended_counts(using: str, now: datetime, *spans: timedelta) -> list[list[Counted]]:
    """Return, for each of ``spans`` before ``now``, how many runs ended in each state.

    Missed and skipped occurrences are counted one by one: a gap counts as many as it covers.
    Successful runs are counted among the newest runs only: see `NewestRuns`.
    """
    since = [now - span for span in spans]
    newest = NewestRuns.of(using)
    trouble = newest_trouble(using, TROUBLE_STATES, min(since), MAX_TROUBLE_READ)
    return [
        [
            _succeeded(newest, moment),
            *(_since(moment, trouble.get(state, []), state) for state in TROUBLE_STATES),
        ]
        for moment in since
    ]


def _succeeded(newest: NewestRuns, moment: datetime) -> Counted:
    state = RunState.SUCCEEDED
    number, is_all = newest.ended_since(moment, MAX_COUNTED, state=state)
    return Counted(state=state, number=number, is_all=is_all)


def _since(moment: datetime, read: Sequence[tuple[datetime, int]], state: str) -> Counted:
    number = sum(count for ended, count in read if ended >= moment)
    is_all = len(read) < MAX_TROUBLE_READ or any(ended < moment for ended, _ in read)
    return Counted(state=state, number=number, is_all=is_all)


def _capped(state: str, number: int) -> Counted:
    return Counted(state=state, number=number, is_all=number < MAX_COUNTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """The runs related to a run; None where there is none."""

    blocked_by: Run | None
    retry_of: Run | None
    retries: list[Run]
    before: Run | None
    after: Run | None


def related(run: Run) -> Related:
    """Return the runs related to ``run``."""
    runs = Run.objects.using(run._state.db).defer("payload", "result", "error")
    named: dict[int | None, Run] = {
        each.pk: each for each in runs.filter(pk__in=[run.blocked_by_id, run.retry_of_id])
    }
    siblings = runs.filter(task=run.task_id) if run.task_id is not None else runs.none()
    return Related(
        blocked_by=named.get(run.blocked_by_id),
        retry_of=named.get(run.retry_of_id),
        retries=list(retries_of(run)),
        before=siblings.filter(pk__lt=run.pk).order_by("-pk").first(),
        after=siblings.filter(pk__gt=run.pk).order_by("pk").first(),
    )


def blocker_of(run: Run, now: datetime) -> Run | None:
    """Return the run of its task that must finish before a queued run starts; None if none."""
    if run.state != RunState.QUEUED or run.engine or run.ready_at > now:
        return None
    if run.task is None or run.task.allow_overlap:
        return None
    going = Run.objects.using(run._state.db).live_of([run.task.pk]).not_surely_queued(now)
    others = going.exclude(pk=run.pk).defer("payload", "result", "error")
    return others.order_by("started_at").first()


def retries_of(run: Run) -> RunQuerySet:
    """Return the runs that people submitted as retries of ``run``, oldest first.

    They have the same task. An index serves the runs of a task, but not the retries of a run.
    """
    runs = Run.objects.using(run._state.db)
    later = runs.filter(retry_of=run, pk__gt=run.pk).order_by("pk")
    return later if run.task_id is None else later.filter(task=run.task_id)


def has_returned(run: Run) -> bool:
    """Return whether the stored result of ``run`` is the return value of its function.

    None is also stored for a run that failed or has not ended, and for one that succeeded but
    whose value could not be stored; its reason then says so.
    """
    return run.result is not None or (run.state == RunState.SUCCEEDED and not run.reason)
