"""Repair rows whose timestamps are in the future after the clock was set back.

As in Debian's cron(8): after a step of less than three hours, fixed-time schedules wait until the
clock has caught up, so that nothing of theirs runs twice, and starred ones go on by the new time.
A larger step corrects a wrong clock: all go on by the new time.
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
from sisy.heartbeat.quarantine import one_by_one
from sisy.heartbeat.turn import ENDLESS, Turn
from sisy.log import logger
from sisy.models import Run, Task, TaskState, activation
from sisy.models.run_queries import RunQuerySet
from sisy.models.timing import ON_TIME_TOLERANCE, Timing
from sisy.models.updating import Update, update_rows
from sisy.store.isolation import isolating

CORRECTION = timedelta(hours=3)
CHUNK = 100
BATCH = 1000

SET_BACK = "The clock was set back after this moment."


def repair(using: str, now: datetime) -> None:
    """Let tasks and runs that the clock left behind go on by the new time, all at once."""
    Repair(using, now).go_on(now)


class Repair:
    """Lets tasks and runs that the clock left behind go on by the new time, chunk by chunk.

    Begin it once all heartbeats have read the new time: one that goes on by the old time would
    plan anew up to there.
    """

    def __init__(self, using: str, now: datetime) -> None:
        self._using = using
        self._step = _least_step(using, now)
        # Those furthest ahead come last: they show how far the clock was set back, also to
        # another heartbeat that goes on with this after a crash.
        ahead = _left_ahead(using, now).order_by("planned_until", "planning_since")
        keys = ahead.values_list("pk", flat=True)
        self._left = deque(keys if self._step > ON_TIME_TOLERANCE else ())
        self._restarted = self._hastened = 0

    def go_on(self, now: datetime, turn: Turn = ENDLESS) -> bool:
        """Repair until the turn is over, one chunk at least; return whether all is repaired."""
        while self._left:
            chunk = [self._left.popleft() for _ in range(min(CHUNK, len(self._left)))]
            self._restarted += self._restart(chunk, now)
            if self._left and turn.ends_here():
                return False
        while (hastened := _hasten(self._using, now)) == BATCH:
            self._hastened += hastened
            if turn.ends_here():
                return False
        self._hastened += hastened + _hasten_retries(self._using, now)
        if self._restarted or self._hastened:
            logger.warning(
                "The clock was set back by %s or more: %s rescheduled, and %s ready",
                self._step,
                ngettext("%d task is", "%d tasks are", self._restarted) % self._restarted,
                ngettext("%d queued run is", "%d queued runs are", self._hastened)
                % self._hastened,
            )
        return True

    def _restart(self, pks: Sequence[int], now: datetime) -> int:
        """Plan tasks from ``now`` on, and return how many."""
        everything = self._step > CORRECTION

        def restart(pks: Sequence[int]) -> int:
            return _restart_these(self._using, pks, now, everything)

        def each(error: Exception) -> int:
            return one_by_one(self._using, pks, lambda pk: restart([pk]))

        return isolating(partial(restart, pks), each)


def _left_ahead(using: str, now: datetime) -> QuerySet[Task]:
    """Return the tasks whose past lies in the future."""
    ahead = Q(planned_until__gt=now + ON_TIME_TOLERANCE) | Q(
        planning_since__gt=now + ON_TIME_TOLERANCE
    )
    return Task.objects.using(using).filter(ahead).exclude(state=TaskState.RETIRED)


def _least_step(using: str, now: datetime) -> timedelta:
    """Return by how much the clock was set back at the least."""
    newest = _left_ahead(using, now).aggregate(Max("planned_until"), Max("planning_since"))
    moments = [moment for moment in newest.values() if moment is not None]
    return max(moments, default=now) - now


def _restart_these(using: str, pks: Sequence[int], now: datetime, everything: bool) -> int:
    candidates = _left_ahead(using, now).filter(pk__in=pks)
    chosen = [task.pk for task in candidates if everything or _goes_on(task)]
    _vacate(using, chosen, now)
    with transaction.atomic(using=using):
        # Chosen once more, under the lock: another heartbeat may have been faster.
        locked = candidates.filter(pk__in=chosen).order_by("pk")
        tasks = list(locked.select_for_update(skip_locked=True))
        of_these = Task.objects.using(using).filter(pk__in=[task.pk for task in tasks])
        of_these.filter(planned_until__gt=now).update(planned_until=now)
        of_these.filter(planning_since__gt=now).update(planning_since=now)
        starts = []
        for task in tasks:
            if task.state == TaskState.ACTIVE:
                task.planned_until = now if task.planned_until is not None else None
                starts.append((task, activation.Start.of(task, now)))
        activation.store_starts(using, starts)
    return len(tasks)


def _goes_on(task: Task) -> bool:
    """Return whether a task follows the time that really elapses, whatever the clock says."""
    try:
        return Timing.of(task).schedule.is_starred
    except ScheduleError:
        return True


def _vacate(using: str, tasks: Sequence[int], now: datetime) -> None:
    """Let the moments that come once more be planned once more; the rows stay.

    What is queued of them was due, and is ready now: see `_hasten`.
    """
    occupied = Run.objects.using(using).filter(task__in=tasks, due_at__gt=now)
    said = Trim(Concat(Left("reason", 450), Value(f" {SET_BACK}")))
    while pks := list(occupied.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic(using=using):
            rows = Run.objects.using(using).filter(pk__in=pks)
            rows.lock()
            # In this order: MySQL lets what comes later see what was set before.
            rows.filter(due_at__gt=now).update(reason=said, occurrence_at=F("due_at"), due_at=None)


def _hasten(using: str, now: datetime) -> int:
    """Let a batch of the runs that were ready by the old time be ready now; return how many."""
    queued = Run.objects.using(using).queued()
    was_due = Q(due_at__isnull=False) | Q(occurrence_at__isnull=False)
    was_ready = Q(ready_at__lte=F("planned_at")) | was_due
    left = queued.filter(was_ready, planned_at__gt=now + ON_TIME_TOLERANCE, ready_at__gt=now)
    return _make_ready(using, left, dict.fromkeys(left.values_list("pk", flat=True)[:BATCH], now))


def _hasten_retries(using: str, now: datetime) -> int:
    """Let no retry wait longer than its task lets it; return how many did."""
    retries = Run.objects.using(using).queued().filter(attempt__gt=0, ready_at__gt=now)
    latest: dict[int, datetime] = {}
    for run in retries.filter(task__isnull=False).select_related("task")[:BATCH]:
        assert run.task is not None
        if run.ready_at > now + run.task.retry_max_delay:
            latest[run.pk] = now + run.task.retry_max_delay
    return _make_ready(using, retries, latest)


def _make_ready(using: str, runs: RunQuerySet, moments: Mapping[int, datetime]) -> int:
    """Let those of ``runs`` that are still like this be ready at their moments."""
    if not moments:
        return 0
    with transaction.atomic(using=using):
        locked = runs.filter(pk__in=list(moments)).lock()
        ready_at = [moments[pk] for pk in locked]
        return update_rows(using, Run, locked, Update(assign={"ready_at": ready_at}))
