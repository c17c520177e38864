"""Release runs of a worker, so that other workers can execute them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Case

from sisy import signals
from sisy.lifecycle.cancel import TASK_DELETED, cancel_queued, cancel_requested
from sisy.lifecycle.lose import lose
from sisy.lifecycle.transition import Transition, ready_again, send_for_rows
from sisy.records.choices import OnLost, RunState
from sisy.records.run import RunRecord
from sisy.store.run_queries import RunRows, rows_of

TIME_TO_GO = timedelta(seconds=5)
"""The time within which a stopping worker exits, with threads that it cannot stop."""


def release(
    using: str, runs: Sequence[RunRecord], reason: str, now: datetime, **columns: datetime | None
) -> int:
    """Release runs whose function was not called, and return how many.

    They are ready at once, except those that were started ahead of their moment. No attempt is
    used up. Runs that were asked to stop, or whose task was deleted, are cancelled.

    Args:
        columns: what else to store.
    """
    if not runs:
        return 0
    rows = rows_of(type(runs[0]), using)
    with transaction.atomic(using=using):
        released = rows.filter(pk__in=rows.held(runs).lock())
        # In this order: in MySQL, an assignment sees what earlier ones have set.
        ready = {"ready_at": ready_again(now, now), "started_at": None, "dispatched_at": None}
        count = _release(released, reason, now, **ready | columns)
        cancel_requested(released, now)
        send_for_rows(signals.run_released, released.queued())
    return count


def release_running(using: str, runs: Sequence[RunRecord], reason: str, now: datetime) -> int:
    """Release runs that a stopping worker has started, and return how many.

    A run whose task must not run again after a loss is lost instead. A run that was asked to stop
    stays running: a heartbeat cancels it when the worker is gone.
    """
    if not runs:
        return 0
    rows = rows_of(type(runs[0]), using)
    with transaction.atomic(using=using):
        held = rows.filter(pk__in=rows.held(runs).lock(), cancel_requested_at=None)
        once = list(held.filter(task__on_lost=OnLost.FAIL).values_list("pk", flat=True))
        again = list(held.exclude(pk__in=once).values_list("pk", flat=True))
        if once:
            lose(rows.filter(pk__in=once), reason, now)
        # They start when this worker is gone, so that no run is executed twice at the same time.
        # Until then they block other runs of their tasks: see `RunQuerySet.possibly_running`. So
        # do those that were asked to stop, because they are still running.
        released = rows.filter(pk__in=again)
        count = _release(released, f"{reason}.", now, ready_at=now + TIME_TO_GO)
        send_for_rows(signals.run_released, released.queued())
    return count


def _release(
    released: RunRows[Any], reason: str, now: datetime, **columns: datetime | Case | None
) -> int:
    # The worker's objects stay unchanged: their process and attempt are the fence by which this
    # step finds the rows, even if the commit fails and the step is repeated.
    queued = {"state": RunState.QUEUED, "process": None, "reason": reason, **columns}
    count = Transition(queued, add={"attempt": -1}).write(released)
    cancel_queued(released.without_task(), TASK_DELETED, now)
    return count
