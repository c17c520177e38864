"""Recompute the next run of tasks whose timing was changed without `Task.save`.

One UPDATE may change the timing of all tasks. They are recomputed in chunks, each in a transaction
of its own. Between two chunks, the heartbeat plans what is due: see `Turn`.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import Count, Max, QuerySet

from sisy import clock
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
LAST_KEY = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive tasks that are audited together.

    Attributes:
        first, last: the keys between which they are.
        count: how many there are.
        is_last: whether no tasks come after them.
    """

    first: int
    last: int
    count: int
    is_last: bool


class Audit:
    """Checks all tasks slice by slice: their timing, and whether they have too many runs.

    It also checks whether the small tables beside the ledger agree with it.

    Attributes:
        next_at: when the next slice is due; None if it is due at once.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self.next_at: datetime | None = None
        self._left: Slice | None = None  # the rest of a slice, if a turn has ended within it
        self._next_key = 0
        self._covered = 0  # tasks in this cycle
        # Until the first cycle is complete, it is not known how many tasks there are.
        self._size = LARGEST_AUDIT
        self._interval = AUDIT_INTERVAL
        self._entries = EntryCheck(using)

    def restart(self) -> None:
        """Audit the next slice at once, because the clock was set."""
        self.next_at = None

    def go_on(self, now: datetime, turn: Turn) -> None:
        """Audit a slice if it is time. If the turn ends, the next pass audits the rest."""
        if self.next_at is not None and now < self.next_at:
            return
        part = self._left or self._next_slice()
        self._left = part
        audit(self._using, now, part.first, part.last, turn)
        if turn.has_left_work:
            return
        _, audited = retention.prune_surplus(self._using, part.first, part.last, turn)
        if audited < part.last:
            self._left = replace(part, first=audited + 1)
            return
        self._complete(part)
        self._entries.go_on(now)
        is_soon = self._entries.is_behind
        self.next_at = now + (AUDIT_INTERVAL if is_soon else self._interval)

    def _next_slice(self) -> Slice:
        # By their number: tasks that ran once are deleted, and leave large gaps between the keys.
        following = Task.objects.using(self._using).filter(pk__gte=self._next_key)
        found = following.order_by("pk")[: self._size].aggregate(count=Count("pk"), last=Max("pk"))
        is_last = found["count"] < self._size
        last = LAST_KEY if is_last else found["last"]
        return Slice(self._next_key, last, found["count"], is_last)

    def _complete(self, part: Slice) -> None:
        """Go on to the next slice. After the last one, divide the next cycle into slices."""
        self._left = None
        self._covered += part.count
        self._next_key = 0 if part.is_last else part.last + 1
        if part.is_last:
            size = math.ceil(self._covered / AUDIT_SLICES)
            self._size = min(max(size, SMALLEST_AUDIT), LARGEST_AUDIT)
            # A slice that is full is not known to be the last one.
            slices = 1 + self._covered // self._size
            self._interval = max(AUDIT_INTERVAL, AUDIT_CYCLE / slices)
            self._covered = 0


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
    # Raw SQL leaves no trace of when it happened. So these tasks are planned from the moment at
    # which they are found. Overdue tasks are not among them. A heartbeat plans these first, by
    # their old timing: see `sisy.planning.replaced_timing`.
    part = Task.objects.using(using).filter(pk__gte=first_pk, pk__lte=last_pk, next_run__gt=now)
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
        free = tasks.only("next_run", *FIRST_DUE_FIELDS).select_for_update(skip_locked=True)
        locked = list(free[:RESCHEDULE_BATCH])
        # update() has withdrawn what was planned ahead; raw SQL has not.
        stored = Task.objects.using(using)
        if locked and not from_change:
            # Read after the lock: in a slow pass, raw SQL may have changed them after ``now``.
            now = max(now, clock.now(using))
            # Those that have fallen due since then are planned first, like those due at ``now``.
            locked = [task for task in locked if task.next_run > now]
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
