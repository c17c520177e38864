"""Plans what is due: inserts the runs and advances the marks, in one transaction a chunk."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.db import IntegrityError, connections, transaction
from django.db.models import QuerySet

from sisy import conf, signals
from sisy.database_thread import database_is_away
from sisy.exceptions import ScheduleError
from sisy.heartbeat.broken import carefully, set_aside
from sisy.heartbeat.occurrences import Plan, Planner, ready_at
from sisy.log import logger
from sisy.models import Run, RunState, Task, TaskState
from sisy.models.fields import adapted
from sisy.models.inserting import insert_runs
from sisy.models.missing import missed_row
from sisy.models.prepared import Limit, places, prepared

CHUNK = 500
UNREAD = (
    "_extra_data",
    "pruned",
    "planned_as",
    "overlap",
    "max_attempts",
    "retry_delay",
    "retry_backoff",
    "retry_max_delay",
    "on_lost",
    "timeout",
    "history_runs",
    "state_reason",
    "target_error",
    "created_at",
)
"""Columns of a task that do not matter to what is due of it, and may be long."""

TRIES = 3  # looks at tasks that somebody else has locked just now, before leaving them to the next

Moment = datetime | None
Announce = Callable[[list[Run]], None]


def to_nobody(runs: list[Run]) -> None:
    """Announce nothing: workers find what waits by looking, too."""


@dataclass(slots=True)
class Planned:
    """What a pass has planned.

    Attributes:
        missed: how many occurrences were not run.
        broken: how many tasks were set aside.
        is_held_up: whether tasks are still due, since somebody else has locked them.
    """

    runs: list[Run] = field(default_factory=list)
    missed: int = 0
    broken: int = 0
    is_held_up: bool = False

    def add(self, later: "Planned") -> None:
        """Count what was planned later, too."""
        self.runs += later.runs
        self.missed += later.missed
        self.broken += later.broken
        self.is_held_up = later.is_held_up


def plan_due(using: str, now: datetime, announce: Announce = to_nobody) -> Planned:
    """Plan every occurrence that is due at ``now``.

    Workers need not wait for the rest: of each chunk, ``announce`` hears once it is committed.

    Any number of heartbeats may do so at once: each task's row is locked by one of them, its mark
    is advanced only from where it was seen, and the ledger takes each occurrence once.
    """
    planned = Planned()
    for _ in range(TRIES):
        is_full = True
        while is_full:
            announced = len(planned.runs)
            is_full = _plan_chunk(using, now, planned) == CHUNK
            if new := planned.runs[announced:]:
                announce(new)
        planned.is_held_up = bool(prepared(_still_due, using, now=datetime).rows(now=now))
        if not planned.is_held_up:
            break
    return planned


def _plan_chunk(using: str, now: datetime, planned: Planned) -> int:
    try:
        with transaction.atomic(using=using):
            tasks = _lock_due(using, now)
            found = _plan_tasks(using, tasks, now)
    except Exception as error:
        if database_is_away(error):
            raise
        logger.warning("Planning many tasks at once failed; planning one by one", exc_info=True)
        pks = list(Task.objects.using(using).due(now).values_list("pk", flat=True)[:CHUNK])
        for pk in pks:
            one = carefully(using, pk, partial(_plan_one, using, pk, now))
            planned.add(Planned(broken=1) if one is None else one)
        return len(pks)
    planned.add(found)
    return len(tasks)


def _lock_due(using: str, now: datetime) -> list[Task]:
    return prepared(_due, using, now=datetime, limit=Limit).records(now=now, limit=CHUNK)


def _due(now: datetime, limit: int) -> "QuerySet[Task]":
    tasks = Task.objects.due(now).defer(*UNREAD)
    return tasks.select_for_update(skip_locked=True)[:limit]


def _still_due(now: datetime) -> "QuerySet[Task, tuple[int]]":
    return Task.objects.due(now).order_by().values_list("pk")[:1]


def _plan_one(using: str, pk: int, now: datetime) -> Planned:
    """Plan one task, and leave out what the ledger has already."""
    with transaction.atomic(using=using):
        tasks = Task.objects.using(using).due(now).filter(pk=pk)
        return _plan_tasks(using, list(tasks.select_for_update(skip_locked=True)), now, True)


def _plan_tasks(using: str, tasks: list[Task], now: datetime, careful: bool = False) -> Planned:
    planned = Planned()
    plans: list[tuple[Task, Plan]] = []
    planner = Planner(now, conf.get_settings().missed_limit)
    for task in tasks:
        try:
            plans.append((task, planner.plan(task)))
        except ScheduleError as error:
            logger.error("Task %s (%s) is set aside: %s", task.pk, task.label, error)
            set_aside(using, task.pk, str(error))
            planned.broken += 1
    rows = [row for task, what in plans for row in _rows(task, what, now)]
    if careful:
        rows = [row for row in rows if not _is_in_ledger(using, row)]
    missed: list[Run] = []
    for row in insert_runs(using, rows):
        (planned.runs if row.state == RunState.WAITING else missed).append(row)
    planned.missed = sum(row.count for row in missed)
    _advance(using, plans)
    Run.tell(signals.run_planned, planned.runs, using)
    Run.tell(signals.run_missed, missed, using)
    Task.tell_retired((task for task, what in plans if what.next_run is None), using)
    return planned


def _rows(task: Task, what: Plan, now: datetime) -> Iterable[Run]:
    if what.gap is not None:
        gap = what.gap
        yield missed_row(task, gap.first, gap.last, gap.count, gap.reason, now)
    for due, next_due in zip(what.due, (*what.due[1:], what.next_run), strict=False):
        yield Run.of(task, now=now, due_at=due, ready_at=ready_at(task, due, next_due))


def _is_in_ledger(using: str, row: Run) -> bool:
    return Run.objects.using(using).filter(task=row.task_id, due_at=row.due_at).exists()


def _advance(using: str, plans: list[tuple[Task, Plan]]) -> None:
    """Advance the marks, by one statement for all tasks that advance alike.

    The statement repeats where each mark was seen: if one has moved, nothing of the chunk stands.
    """
    alike: dict[tuple[Moment, Moment, Moment, Moment, int], list[int]] = {}
    for task, what in plans:
        last_run = what.due[-1] if what.due else task.last_run
        key = (task.next_run, what.mark, last_run, what.next_run, len(what.due))
        alike.setdefault(key, []).append(task.pk)
    for (seen, mark, last_run, next_run, count), pks in alike.items():
        state = TaskState.RETIRED if next_run is None else TaskState.ACTIVE
        moments = [adapted(using, moment) for moment in (mark, last_run, next_run, seen)]
        with connections[using].cursor() as cursor:
            cursor.execute(
                _advance_of(using, places(pks)),
                [state.value, count, *moments[:3], *pks, moments[3], TaskState.ACTIVE.value],
            )
            moved = cursor.rowcount
        if moved != len(pks):
            raise IntegrityError(f"Another heartbeat has planned {len(pks) - moved} of {len(pks)}")


def _advance_of(using: str, places_of_keys: str) -> str:
    """Return the statement that advances tasks; Django would put it together each time."""
    table = connections[using].ops.quote_name(Task._meta.db_table)
    return (
        f"UPDATE {table} SET state = %s, runs_planned = runs_planned + %s, "
        "mark = %s, last_run = %s, next_run = %s "
        f"WHERE id IN ({places_of_keys}) AND next_run = %s AND state = %s"
    )
