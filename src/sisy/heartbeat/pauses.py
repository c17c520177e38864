"""End the pauses for which a person chose an end: `Task.pause` and `Queue.objects.pause`.

A heartbeat knows when the next pause ends, and makes a tick at that moment. The tick plans the
resumed tasks from then on, so that an occurrence at that very moment runs on time. A task may also
be resumed late, after an outage: what fell due since its pause ended counts as missed.
"""

from datetime import datetime
from functools import partial

from django.db import transaction

from sisy.heartbeat.quarantine import reject_unreadable_rows
from sisy.lifecycle import task_state
from sisy.models import Queue, Task, TaskState
from sisy.models.queue import RESUMED
from sisy.records.task_change import STATE_FIELDS, note_ended_pauses, states_of
from sisy.runtime.log import logger
from sisy.runtime.loop import Renewal
from sisy.store.isolation import past_bad_rows

BATCH = 500  # tasks per pass
# Seconds between two looks for new pauses where no ring announces them. What fell due so shortly
# before is late, not missed: see `ON_TIME_TOLERANCE`.
LOOK_INTERVAL = 4.0


class Pauses:
    """The pauses of tasks and queues, as one heartbeat ends them.

    Attributes:
        next_at: when the next pause ends; None if none is known to end.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self.next_at: datetime | None = None
        self._look = Renewal(LOOK_INTERVAL)

    def wants_look(self, now: datetime, *, can_be_rung: bool) -> bool:
        """Return whether to call `end`, although no ring says that tasks were changed."""
        if self.next_at is not None and self.next_at <= now:
            return True
        return not can_be_rung and self._look.is_due()

    def end(self, now: datetime) -> None:
        """End the pauses that are over, and find when the next one ends."""
        self._look.begin()
        self._find_next(now)
        if self.next_at is not None and self.next_at <= now:
            end_pauses(self._using, now)
            self._find_next(now)
        self._look.end()

    def _find_next(self, now: datetime) -> None:
        reject = partial(reject_unreadable_rows, self._using, now)
        self.next_at = past_bad_rows(partial(next_end, self._using), reject)


def next_end(using: str) -> datetime | None:
    """Return when the next pause of a task or queue ends; None if none has an end."""
    firsts = (
        rows.using(using)
        .exclude(paused_until=None)
        .order_by("paused_until")
        .values_list("paused_until", flat=True)
        .first()
        for rows in (Task.objects.filter(state=TaskState.PAUSED), Queue.objects.paused())
    )
    return min(filter(None, firsts), default=None)


def end_pauses(using: str, now: datetime) -> None:
    """Resume the tasks and queues that were paused until ``now`` or earlier.

    Skips tasks that another transaction has locked.
    """
    with transaction.atomic(using=using):
        paused = Task.objects.using(using).filter(state=TaskState.PAUSED, paused_until__lte=now)
        ended = paused.order_by("paused_until", "pk").only("label", *STATE_FIELDS)
        tasks = list(ended.select_for_update(skip_locked=True)[:BATCH])
        for until in {task.paused_until for task in tasks}:
            pks = [task.pk for task in tasks if task.paused_until == until]
            task_state.pause_ended(until).write(Task.objects.using(using).filter(pk__in=pks))
        before = [(task.pk, states_of(vars(task))) for task in tasks]
        note_ended_pauses(using, before, task_state.UNPAUSED, now)
    for task in tasks:
        logger.info("Resumed %s: it was paused until %s", task, task.paused_until)
    queues = Queue.objects.using(using).paused().filter(paused_until__lte=now)
    for name, until in list(queues.values_list("name", "paused_until")):
        if queues.filter(name=name).update(**RESUMED):
            logger.info("Resumed the queue %s: it was paused until %s", name, until)
