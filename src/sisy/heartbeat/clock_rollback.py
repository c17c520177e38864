"""Repair rows whose timestamps are in the future after the clock was set back.

The rules are those of Debian's cron(8). After a step of less than three hours, schedules with
fixed times wait until the clock has caught up, so that nothing runs twice, and schedules with a
star continue by the new time. A larger step corrects a wrong clock: all continue by the new time.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import F, Max, Q, QuerySet, Value
from django.db.models.functions import Concat, Left, Trim
from django.utils.translation import ngettext

from sisy.exceptions import ScheduleError
from sisy.heartbeat.quarantine import run_each
from sisy.lifecycle.withdraw import withdraw
from sisy.models import QueuedRun, Run, RunState, Task, TaskState
from sisy.models.run import RunQuerySet
from sisy.planning import activation
from sisy.planning.timing import LOOKAHEAD, ON_TIME_TOLERANCE, Timing
from sisy.runtime.durations import duration_text
from sisy.runtime.log import logger
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store import entries, locking
from sisy.store.bulk import Update, update_rows
from sisy.store.isolation import isolating

MAX_SMALL_STEP = timedelta(hours=3)
REPAIR_BATCH = 100
RUN_BATCH = 1000
SET_BACK = "The clock was set back after this moment."


def repair(using: str, now: datetime) -> None:
    """Repair all tasks and runs at once."""
    Repair(using, now).go_on(now)


class Repair:
    """Repairs tasks and runs chunk by chunk, so that they continue by the new time.

    Create it only after all heartbeats have read the new time.
    """

    # A heartbeat that still has the old time would plan repaired tasks up to the old time again.

    def __init__(self, using: str, now: datetime) -> None:
        self._using = using
        self._step = _least_step(using, now)
        # The rows furthest in the future come last. They show how far the clock was set back, and
        # another heartbeat needs that to continue after a crash.
        ahead = _left_ahead(using, now).order_by("planned_until", "planning_since")
        keys = ahead.values_list("pk", flat=True)
        self._left = deque(keys if self._step > ON_TIME_TOLERANCE else ())
        self._restarted = self._hastened = 0

    def go_on(self, now: datetime, turn: Turn = ENDLESS) -> bool:
        """Repair at least one chunk, until the turn ends. Return whether nothing is left."""
        # Before tasks are rescheduled, which withdraws what was planned ahead.
        while (hastened := _make_ready_now(self._using, now, now + self._step)) == RUN_BATCH:
            self._hastened += hastened
            if turn.ends_here():
                return False
        self._hastened += hastened
        while self._left:
            chunk = [self._left.popleft() for _ in range(min(REPAIR_BATCH, len(self._left)))]
            self._restarted += self._restart(chunk, now)
            if self._left and turn.ends_here():
                return False
        self._hastened += _shorten_retries(self._using, now)
        if self._restarted or self._hastened:
            logger.warning(
                "The clock was set back by at least %s; rescheduled %s, and made %s ready",
                duration_text(self._step),
                ngettext("%d task", "%d tasks", self._restarted) % self._restarted,
                ngettext("%d queued run", "%d queued runs", self._hastened) % self._hastened,
            )
        return True

    def _restart(self, pks: Sequence[int], now: datetime) -> int:
        """Reschedule a chunk of tasks from ``now`` on. Return how many."""
        everything = self._step > MAX_SMALL_STEP

        def restart(pks: Sequence[int]) -> int:
            return _restart_these(self._using, pks, now, everything)

        def each(error: Exception) -> int:
            return run_each(self._using, pks, lambda pk: restart([pk]))

        return isolating(partial(restart, pks), each)


def _left_ahead(using: str, now: datetime) -> QuerySet[Task]:
    """Return the tasks that were planned, or changed, at a time that is now in the future."""
    latest = now + ON_TIME_TOLERANCE
    ahead = Q(planned_until__gt=latest + LOOKAHEAD) | Q(planning_since__gt=latest)
    return Task.objects.using(using).filter(ahead).exclude(state=TaskState.RETIRED)


def _least_step(using: str, now: datetime) -> timedelta:
    """Return the least amount by which the clock must have been set back."""
    newest = _left_ahead(using, now).aggregate(Max("planned_until"), Max("planning_since"))
    planned, changed = newest["planned_until__max"], newest["planning_since__max"]
    # The time may have been up to LOOKAHEAD before what was planned ahead.
    moments = (planned and planned - LOOKAHEAD, changed)
    return max(filter(None, moments), default=now) - now


def _restart_these(using: str, pks: Sequence[int], now: datetime, everything: bool) -> int:
    candidates = _left_ahead(using, now).filter(pk__in=pks)
    chosen = [task.pk for task in candidates if everything or _continues_by_new_time(task)]
    _withdraw(using, chosen, now)
    _free_occurrences(using, chosen, now)
    with transaction.atomic(using=using):
        # Filter again under the lock: another heartbeat may have repaired them already.
        locked = candidates.filter(pk__in=chosen).order_by("pk")
        tasks = list(locked.select_for_update(skip_locked=True))
        of_these = Task.objects.using(using).filter(pk__in=[task.pk for task in tasks])
        of_these.filter(planned_until__gt=now).update(planned_until=now)
        of_these.filter(planning_since__gt=now).update(planning_since=now)
        starts = []
        for task in tasks:
            if task.state == TaskState.ACTIVE:
                task.planned_until = now if task.planned_until is not None else None
                starts.append((task, activation.start_of(task, now)))
        activation.store_starts(using, starts)
    return len(tasks)


def _withdraw(using: str, pks: Sequence[int], now: datetime) -> None:
    """Withdraw what was planned ahead of tasks, and find out anew when these are due."""
    with transaction.atomic(using=using):
        stored = Task.objects.using(using)
        locked = locking.lock(stored.filter(pk__in=pks))
        withdraw(stored, locked, now, repairs=True)
        # After an edit since the step, a withdrawn moment need not be due any more.
        active = stored.filter(pk__in=locked, state=TaskState.ACTIVE, next_run__isnull=False)
        activation.store_starts(using, [(task, activation.start_of(task, now)) for task in active])


def _continues_by_new_time(task: Task) -> bool:
    """Return whether a task continues by the new time after a small step."""
    try:
        return Timing.of(task).schedule.is_starred
    except ScheduleError:
        # Rescheduling marks the task as broken, with the reason.
        return True


def _free_occurrences(using: str, tasks: Sequence[int], now: datetime) -> None:
    """Free the due moments that will come again, so that they can be planned again."""
    # The rows stay in the ledger, without due_at, which the unique constraint covers. Queued runs
    # among them were due already, and start now: see `_make_ready_now`.
    occupied = Run.objects.using(using).filter(task__in=tasks, due_at__gt=now)
    said = Trim(Concat(Left("reason", 450), Value(f" {SET_BACK}")))
    while pks := list(occupied.order_by("pk").values_list("pk", flat=True)[:RUN_BATCH]):
        with transaction.atomic(using=using):
            rows = Run.objects.using(using).filter(pk__in=pks)
            rows.lock()
            # The order matters: in MySQL, an assignment sees what earlier ones have set.
            rows.filter(due_at__gt=now).update(reason=said, occurrence_at=F("due_at"), due_at=None)


def _make_ready_now(using: str, now: datetime, old_now: datetime) -> int:
    """Make a batch of runs ready now that were ready by the old time. Return how many.

    Args:
        old_now: the old time, as far as it is known.
    """
    queued = _not_ready(using, now, Q(is_ahead=False) | Q(ready_at__lte=old_now))
    was_due = Q(due_at__isnull=False) | Q(occurrence_at__isnull=False)
    was_ready = Q(ready_at__lte=F("planned_at")) | was_due
    left = queued.filter(was_ready, planned_at__gt=now + ON_TIME_TOLERANCE)
    pks = left.values_list("pk", flat=True)[:RUN_BATCH]
    return _make_ready(using, left, dict.fromkeys(pks, now))


def _shorten_retries(using: str, now: datetime) -> int:
    """Shorten the delay of retries to their task's maximum. Return how many were too long."""
    # A run that was lost between its start and its call keeps its moment.
    soon = now + ON_TIME_TOLERANCE
    retries = _not_ready(using, now, Q(is_ahead=False)).filter(attempt__gt=0, ready_at__gt=soon)
    latest: dict[int, datetime] = {}
    for run in retries.with_task().select_related("task")[:RUN_BATCH]:
        assert run.task is not None
        if run.ready_at > now + run.task.retry_max_delay:
            latest[run.pk] = now + run.task.retry_max_delay
    return _make_ready(using, retries, latest)


def _not_ready(using: str, now: datetime, condition: Q) -> RunQuerySet:
    # What was planned ahead, and was not due yet, waits for the clock to catch up.
    delayed = QueuedRun.objects.filter(condition, ready_at__gt=now)
    runs = Run.objects.using(using).listed(delayed)
    return runs.filter(state=RunState.QUEUED, ready_at__gt=now)


def _make_ready(using: str, runs: RunQuerySet, moments: Mapping[int, datetime]) -> int:
    """Set ``ready_at`` of the runs that still match the query ``runs``. Return how many."""
    if not moments:
        return 0
    with transaction.atomic(using=using):
        locked = runs.filter(pk__in=list(moments)).lock()
        ready_at = [moments[pk] for pk in locked]
        count = update_rows(using, Run, locked, Update(assign={"ready_at": ready_at}))
        entries.follow(using, locked)
        return count
