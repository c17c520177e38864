"""Hands runs to other workers that did not end in this one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from sisy import signals
from sisy.lifecycle.cancel import TASK_DELETED, cancel_queued, cancel_requested
from sisy.lifecycle.transition import send_for_rows
from sisy.models import OnLost, Run, RunState
from sisy.models.losing import settle_lost

TIME_TO_GO = timedelta(seconds=5)
"""What a worker that has signed off needs to be gone, with the threads that it cannot end."""


def give_back(
    using: str, runs: Sequence[Run], reason: str, now: datetime, **columns: datetime | None
) -> int:
    """Let other workers have runs that were won and never begun; return how many.

    No attempt is used up. Those that somebody wants to end, or whose task is gone, are called off.

    Args:
        columns: what else to store.
    """
    with transaction.atomic(using=using):
        pks = Run.objects.using(using).held(runs).lock()
        released = {"ready_at": now, "started_at": None, "dispatched_at": None, **columns}
        count = _give_back(using, pks, reason, now, **released)
        cancel_requested(Run.objects.using(using).filter(pk__in=pks), now)
        _tell_released(using, pks)
        return count


def hand_over(using: str, runs: Sequence[Run], reason: str, now: datetime) -> int:
    """Let other workers have runs that were begun, and return how many, as `give_back` does.

    They begin once this worker is gone, so that nothing goes on twice at a time; until then they
    are in the way of other runs of their tasks, as `RunQuerySet.possibly_running` knows. What
    somebody wants to end is cancelled then, by whoever claims. A run that is to be carried out
    once at the most is lost instead.
    """
    with transaction.atomic(using=using):
        held = Run.objects.using(using).filter(pk__in=Run.objects.using(using).held(runs).lock())
        once = list(held.filter(task__on_lost=OnLost.FAIL).values_list("pk", flat=True))
        again = list(held.exclude(pk__in=once).values_list("pk", flat=True))
        settle_lost(using, once, reason, now)
        why = f"Released, because {reason[:1].lower()}{reason[1:]}."
        count = _give_back(using, again, why, now, ready_at=now + TIME_TO_GO)
        _tell_released(using, again)
        return count


def _give_back(
    using: str, pks: Sequence[int], reason: str, now: datetime, **columns: datetime | None
) -> int:
    given = Run.objects.using(using).filter(pk__in=pks)
    count = given.update(
        state=RunState.QUEUED,
        process=None,
        attempt=F("attempt") - 1,
        reason=reason,
        **columns,
    )
    cancel_queued(given.without_task(), TASK_DELETED, now)
    return count


def _tell_released(using: str, pks: Sequence[int]) -> None:
    """Tell of those that are queued again; of the others it was told that they are cancelled."""
    if pks:
        queued = Run.objects.using(using).filter(pk__in=pks).queued()
        send_for_rows(signals.run_released, queued)
