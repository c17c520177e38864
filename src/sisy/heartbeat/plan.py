"""Plan due occurrences: create their runs and advance their tasks.

An occurrence is one task at one due moment. It is planned when the ledger has a row for it and its
task has advanced past it. Both happen in one transaction, for a chunk of tasks at a time:

    active --next_run comes--> due --lock--> locked --insert, advance--> active  (a later next_run)
                                               |                |
                                               |                +------> retired (nothing is left)
                                               +--> broken  (its schedule cannot be used)

1. Lock due tasks with SKIP LOCKED. Several heartbeats share the work and never wait.
2. Decide for each task which occurrences run and which were missed (`Planner`). A run is inserted
   as queued. A gap of missed occurrences is one row with a count.
3. Insert the rows. The ledger has a unique constraint on task and due moment.
4. Advance all tasks in one UPDATE that repeats what was read: the task is still active, due at the
   same moment, and has as many runs. If it matches too few rows, another process was faster, and
   the transaction rolls back.
5. Commit, then announce the runs. A crash before the commit leaves the tasks due. A crash after it
   loses only the announcement: workers find the runs by polling.

A task retires when its last occurrence falls due. If that was planned ahead, nothing is inserted
then, and the task is deleted as soon as its last run has ended, too.

Any number of heartbeats may plan at once. The lock makes that cheap, the compare-and-set makes it
correct, and the constraint is the safety net. If a chunk fails, its tasks are planned one by one,
and the one that fails is marked as broken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import cast

from django.db import IntegrityError, transaction

from sisy import conf
from sisy.exceptions import ScheduleError
from sisy.heartbeat.quarantine import run_or_set_broken, set_broken
from sisy.lifecycle import task_state
from sisy.lifecycle.submit import store_occurrences
from sisy.models import Run, Task
from sisy.models.task_queries import TaskQuerySet, delete_ended_of
from sisy.planning.catch_up import Plan, Planner, Watch
from sisy.planning.replaced_timing import restore_timing
from sisy.records.task_fields import DEFERRED_FIELDS
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.log import logger
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store import due
from sisy.store.bulk import Update, update_rows
from sisy.store.isolation import isolating, past_deadlocks
from sisy.store.statements import BEGINNING

PLAN_BATCH = 500
# How often to look again at tasks that another transaction has locked, before leaving them to the
# next pass.
LOCKED_TRIES = 3

Announce = Callable[[list[Run]], None]


def ignore_runs(runs: list[Run]) -> None:
    """Announce nothing. Workers also find queued runs by polling."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """The due tasks of a database that one call of `plan_due` plans, as far as its turn allows."""

    using: str
    watch: Watch
    turn: Turn
    due_since: datetime

    def due(self) -> TaskQuerySet:
        return Task.objects.using(self.using).due(self.watch.now)


@dataclass(slots=True)
class Planned:
    """The result of planning in one pass.

    Attributes:
        missed: the number of occurrences that were recorded as missed.
        broken: the number of tasks that were marked as broken.
        deleted: the number of tasks that were deleted, because their last run had ended before
            they retired.
        is_held_up: whether tasks are still due, because they are locked or the turn ended.
    """

    runs: list[Run] = field(default_factory=list)
    missed: int = 0
    broken: int = 0
    deleted: int = 0
    is_held_up: bool = False
    # The keys of tasks that have retired without a queued run.
    retired: list[int] = field(default_factory=list)

    def add(self, later: "Planned") -> None:
        """Add the result of a later chunk."""
        self.runs += later.runs
        self.missed += later.missed
        self.broken += later.broken
        self.deleted += later.deleted
        self.retired += later.retired
        self.is_held_up = later.is_held_up


def plan_due(
    using: str,
    now: datetime,
    announce: Announce = ignore_runs,
    turn: Turn = ENDLESS,
    at_work_since: datetime | None = None,
    due_since: datetime = BEGINNING,
) -> Planned:
    """Plan every occurrence that is due at ``now``, or as many as the turn allows.

    Args:
        announce: called with the new runs of each chunk, once it is committed.
        at_work_since: see `Watch`.
        due_since: the moment before which no task is due.
    """
    watch = Watch(now, conf.get_settings().missed_limit, at_work_since)
    scope = _Scope(using, watch, turn, due_since)
    planned = Planned()
    for _ in range(LOCKED_TRIES):
        is_full = True
        while is_full:
            announced = len(planned.runs)
            is_full = _plan_chunk(scope, planned) == PLAN_BATCH
            # After each chunk, so that workers start while the rest is being planned.
            if new := planned.runs[announced:]:
                announce(new)
            _delete_ended(using, planned)
            if is_full and turn.ends_here():
                planned.is_held_up = True
                return planned
        planned.is_held_up = due.any_due(using, now, due_since)
        if not planned.is_held_up:
            break
    return planned


def _plan_chunk(scope: _Scope, planned: Planned) -> int:
    return isolating(partial(_plan_at_once, scope, planned), partial(_plan_each, scope, planned))


def _delete_ended(using: str, planned: Planned) -> None:
    """Delete those of the retired tasks whose last run, which was planned ahead, has ended."""
    # After the commit: if that run ends before this, its worker finds the task retired.
    retired, planned.retired = planned.retired, []
    if retired:
        checkpoint("retire: ended task not deleted")
        planned.deleted += past_deadlocks(delete_ended_of, Task.objects.using(using), retired)


def _plan_at_once(scope: _Scope, planned: Planned) -> int:
    with transaction.atomic(using=scope.using):
        tasks = _lock_due(scope)
        if not tasks:
            return 0
        checkpoint("plan: tasks locked")
        found = _plan_tasks(scope, tasks)
        checkpoint("plan: planned_until advanced")
    checkpoint("plan: committed")
    planned.add(found)
    return len(tasks)


def _plan_each(scope: _Scope, planned: Planned, error: Exception) -> int:
    logger.warning("Could not plan a batch of tasks; planning them one by one", exc_info=error)
    pks = list(scope.due().values_list("pk", flat=True)[:PLAN_BATCH])
    for pk in pks:
        one = run_or_set_broken(scope.using, pk, partial(_plan_one, scope, pk))
        planned.add(Planned(broken=1) if one is None else one)
        if pk != pks[-1] and scope.turn.ends_here():
            break
    return len(pks)


def _lock_due(scope: _Scope) -> list[Task]:
    return due.lock_due_tasks(
        scope.using, Task, scope.watch.now, PLAN_BATCH, DEFERRED_FIELDS, scope.due_since
    )


def _plan_one(scope: _Scope, pk: int) -> Planned:
    """Plan one task. Leave out occurrences that are already in the ledger."""
    with transaction.atomic(using=scope.using):
        task = scope.due().filter(pk=pk).select_for_update(skip_locked=True)
        return _plan_tasks(scope, list(task), careful=True)


def _plan_tasks(scope: _Scope, tasks: list[Task], careful: bool = False) -> Planned:
    using, now = scope.using, scope.watch.now
    planned = Planned()
    plans: list[tuple[Task, Plan]] = []
    planner = Planner(scope.watch)
    restored = restore_timing(Task.objects.using(using), tasks, now)
    for task in tasks:
        try:
            plans.append((task, planner.plan(task)))
        except ScheduleError as error:
            logger.error("Marked task %s (%s) as broken: %s", task.pk, task.label, error)
            set_broken(using, task.pk, str(error))
            planned.broken += 1
    rows = cast("list[Run]", [row for task, what in plans for row in what.rows(task, now)])
    if careful:
        rows = [row for row in rows if not _is_in_ledger(using, row)]
    planned.runs, missed = store_occurrences(using, rows)
    planned.missed = sum(row.count for row in missed)
    checkpoint("plan: runs inserted")
    advance(using, plans)
    if restored:
        task_state.plan_anew(Task.objects.using(using).filter(pk__in=restored), now)
        plans = [(task, what) for task, what in plans if task.pk not in restored]
    if retired := [task for task, what in plans if what.next_run is None]:
        task_state.send_retired(retired, using)
    planned.retired = [task.pk for task, what in plans if not (what.next_run or what.due)]
    return planned


def _is_in_ledger(using: str, row: Run) -> bool:
    return Run.objects.using(using).filter(task=row.task_id, due_at=row.due_at).exists()


def advance(using: str, plans: Sequence[tuple[Task, Plan]]) -> None:
    """Advance the tasks to their next moments, if none has changed since it was read.

    Raises:
        IntegrityError: another process has changed one of the tasks; roll back.
    """
    tasks = [task for task, _ in plans]
    advanced = update_rows(
        using,
        Task,
        [task.pk for task in tasks],
        Update(
            assign={
                "state": [task_state.planned(what.next_run) for _, what in plans],
                "planned_until": [what.planned_until for _, what in plans],
                "last_run": [what.due[-1] if what.due else task.last_run for task, what in plans],
                "next_run": [what.next_run for _, what in plans],
            },
            add={"runs_planned": [len(what.due) for _, what in plans]},
            seen={
                "next_run": [task.next_run for task in tasks],
                "state": [task.state for task in tasks],
                "runs_planned": [task.runs_planned for task in tasks],
            },
        ),
    )
    if advanced != len(plans):
        behind = len(plans) - advanced
        raise IntegrityError(f"Another process has changed {behind} of {len(plans)} due tasks")
