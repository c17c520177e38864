"""Recompute the next run of tasks whose timing was changed without `Task.save`.

One UPDATE may change the timing of all tasks. They are recomputed in chunks, each in a transaction
of its own. Between two chunks, the heartbeat plans what is due: see `Turn`.
"""

from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import QuerySet

from sisy.heartbeat import retention
from sisy.heartbeat.entry_check import EntryCheck
from sisy.heartbeat.quarantine import run_each
from sisy.lifecycle.withdraw import withdraw
from sisy.models import Task
from sisy.planning import activation
from sisy.records.task_fields import FIRST_DUE_FIELDS
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store.due import any_unplanned
from sisy.store.isolation import isolating

RESCHEDULE_BATCH = 100
AUDIT_INTERVAL = timedelta(seconds=10)  # the shortest time between two audits
AUDIT_CYCLE = timedelta(seconds=50)  # in which audits cover all tasks, unless there are very many
AUDIT_SLICES = AUDIT_CYCLE // AUDIT_INTERVAL
# The tasks per audit. Few tasks are audited together, and then not for a while. The most bounds
# the cost of an audit.
SMALLEST_AUDIT, LARGEST_AUDIT = 2_000, 10_000


class Audit:
    """Checks all tasks slice by slice: their timing, and whether they have too many runs.

    It also checks whether the small tables beside the ledger agree with it.

    Attributes:
        next_at: when the next slice is due; None if it is due at once.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self.next_at: datetime | None = None
        self._audited = 0  # up to this key
        self._entries = EntryCheck(using)

    def restart(self) -> None:
        """Audit the next slice at once, because the clock was set."""
        self.next_at = None

    def go_on(self, now: datetime, turn: Turn) -> None:
        """Audit a slice if it is time. If the turn ends, the next pass audits the rest."""
        if self.next_at is not None and now < self.next_at:
            return
        tasks = Task.objects.using(self._using).order_by("-pk")
        newest = tasks.values_list("pk", flat=True).first() or 0
        first = self._audited + 1 if self._audited < newest else 0
        size = min(max(newest // AUDIT_SLICES, SMALLEST_AUDIT), LARGEST_AUDIT)
        last = first + size
        audit(self._using, now, first, last, turn)
        if turn.has_left_work:
            return
        _, self._audited = retention.prune_surplus(self._using, first, last, turn)
        if self._audited == last:
            self._entries.go_on(now)
            slices = 1 + newest // size
            has_more = slices >= AUDIT_SLICES or self._entries.is_behind
            self.next_at = now + (AUDIT_INTERVAL if has_more else AUDIT_CYCLE / slices)


def compute_unplanned(using: str, now: datetime, turn: Turn = ENDLESS) -> int:
    """Compute ``next_run`` of tasks that ``QuerySet.update()`` has changed. Return how many."""
    # From the moment of the change on, so that what has been due since then is planned or recorded
    # as missed, like everything else.
    if not any_unplanned(using):
        return 0
    return _plan_anew(Task.objects.using(using).unplanned(), now, turn, from_change=True)


def audit(using: str, now: datetime, first_pk: int, last_pk: int, turn: Turn = ENDLESS) -> int:
    """Compute ``next_run`` of tasks whose timing raw SQL has changed. Return how many.

    Args:
        first_pk, last_pk: the first and the last task to check.
    """
    # Raw SQL leaves no trace of when it happened, so these tasks are planned from now on.
    part = Task.objects.using(using).filter(pk__gte=first_pk, pk__lte=last_pk)
    return _plan_anew(part.with_stale_timing(), now, turn, from_change=False)


def _plan_anew(tasks: "QuerySet[Task]", now: datetime, turn: Turn, from_change: bool) -> int:
    count = 0
    while True:
        planned = _plan_chunk(tasks.order_by(), now, from_change)
        count += planned
        if planned < RESCHEDULE_BATCH or turn.ends_here():
            return count


def _plan_chunk(tasks: "QuerySet[Task]", now: datetime, from_change: bool) -> int:
    def each(error: Exception) -> int:
        pks = list(tasks.values_list("pk", flat=True)[:RESCHEDULE_BATCH])
        run_each(tasks.db, pks, lambda pk: _start_anew(tasks.filter(pk=pk), now, from_change))
        return len(pks)

    return isolating(partial(_start_anew, tasks, now, from_change), each)


def _start_anew(tasks: "QuerySet[Task]", now: datetime, from_change: bool) -> int:
    """Compute the next moment of a chunk of ``tasks``. Skips tasks that are locked."""
    using = tasks.db
    with transaction.atomic(using=using):
        free = tasks.only(*FIRST_DUE_FIELDS).select_for_update(skip_locked=True)
        locked = list(free[:RESCHEDULE_BATCH])
        # Whoever calls update() has withdrawn what was planned ahead; raw SQL has not.
        stored = Task.objects.using(using)
        pks = [task.pk for task in locked]
        if not from_change and withdraw(stored, pks, now):
            locked = list(stored.only(*FIRST_DUE_FIELDS).filter(pk__in=pks))
        starts = []
        for task in locked:
            # The change may be later than ``now``, if this heartbeat was delayed after it read the
            # clock. Nothing before the change may be planned.
            changed_at = task.planning_since if from_change else None
            starts.append((task, activation.start_of(task, changed_at or now)))
        activation.store_starts(using, starts)
    return len(starts)
