"""Plan ahead: create the runs of the next two seconds before they are due.

At the due moment itself, nothing is left to do but to start the run. A task is advanced as in
`plan`, but stays active: after its last occurrence, ``next_run`` still names that moment, at which
`plan` retires the task. Two kinds of occurrences are planned when they are due: those with a
``spread``, since the entry of a queued run does not say when it is due, only when it is ready, and
those of other engines, which have no timers.

If a task is changed before that, its runs that were planned ahead are withdrawn: see
`sisy.lifecycle.withdraw`.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import cast

from django.db import transaction

from sisy.exceptions import ScheduleError
from sisy.heartbeat.plan import PLAN_BATCH, Announce, advance, ignore_runs
from sisy.lifecycle.submit import store_occurrences
from sisy.models import Run, Task
from sisy.planning.catch_up import AheadPlanner, Plan
from sisy.planning.timing import LOOKAHEAD
from sisy.records.task_fields import DEFERRED_FIELDS
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.log import logger
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store import due
from sisy.store.isolation import isolating


def plan_ahead(
    using: str, now: datetime, announce: Announce = ignore_runs, turn: Turn = ENDLESS
) -> int:
    """Plan the occurrences that fall due within `LOOKAHEAD`, as far as the turn allows.

    Args:
        announce: called with the new runs of each chunk, once it is committed.

    Returns:
        The number of new runs.
    """
    chunks = _Ahead(using, now)
    count = 0
    while True:
        runs, tasks = isolating(chunks.plan_chunk, chunks.plan_each)
        count += len(runs)
        if runs:
            announce(runs)
        if tasks < PLAN_BATCH or turn.ends_here():
            return count


class _Ahead:
    """The tasks that one call of `plan_ahead` plans."""

    def __init__(self, using: str, now: datetime) -> None:
        self._using, self._now = using, now
        self._until = now + LOOKAHEAD
        self._planner = AheadPlanner(self._until)
        # The keys of tasks that are planned when they are due.
        self._left_out: list[int] = []

    def plan_chunk(self) -> tuple[list[Run], int]:
        """Plan the first tasks. Return their runs, and how many tasks there were."""
        with transaction.atomic(using=self._using):
            tasks = due.lock_tasks_ahead(
                self._using,
                Task,
                self._now,
                self._until,
                PLAN_BATCH,
                DEFERRED_FIELDS,
                self._left_out,
            )
            runs = self._plan(tasks)
            checkpoint("plan ahead: planned_until advanced")
        checkpoint("plan ahead: committed")
        return runs, len(tasks)

    def plan_each(self, error: Exception) -> tuple[list[Run], int]:
        """Plan the first tasks one by one. One that fails is planned when it is due."""
        logger.warning(
            "Could not plan a batch of tasks ahead; planning them one by one", exc_info=error
        )
        of_these = Task.objects.using(self._using).soon_due(self._now, self._until)
        pks = list(
            of_these.exclude(pk__in=self._left_out).values_list("pk", flat=True)[:PLAN_BATCH]
        )
        self._left_out += pks
        planned = [isolating(partial(self._plan_one, pk), lambda error: []) for pk in pks]
        return [run for runs in planned for run in runs], len(pks)

    def _plan_one(self, pk: int) -> list[Run]:
        with transaction.atomic(using=self._using):
            these = Task.objects.using(self._using).soon_due(self._now, self._until)
            return self._plan(list(these.filter(pk=pk).select_for_update(skip_locked=True)))

    def _plan(self, tasks: Sequence[Task]) -> list[Run]:
        plans: list[tuple[Task, Plan]] = []
        for task in tasks:
            plan = self._plan_of(task)
            if plan is None:
                self._left_out.append(task.pk)
            else:
                plans.append((task, plan))
        if not plans:
            return []
        rows = cast(
            "list[Run]", [row for task, plan in plans for row in plan.rows(task, self._now)]
        )
        runs, _ = store_occurrences(self._using, rows)
        advance(self._using, [(task, plan.until_last_is_due()) for task, plan in plans])
        return runs

    def _plan_of(self, task: Task) -> Plan | None:
        try:
            return self._planner.plan(task)
        except ScheduleError:
            # When it is due, it is marked as broken.
            return None
