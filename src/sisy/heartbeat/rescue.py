"""What becomes of runs whose worker was not heard of until its lease ran out."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from sisy import conf
from sisy.log import logger
from sisy.models import OnLost, Process, Role, Run, RunState


def rescue_lost(using: str, now: datetime) -> list[Run]:
    """Take the runs of dead processes from them, and return those that wait again."""
    rescued: list[Run] = []
    for process in Process.objects.using(using).expired(now):
        with transaction.atomic(using=using):
            expired = Process.objects.using(using).expired(now).filter(pk=process.pk)
            if list(expired.select_for_update(skip_locked=True)):
                rescued += _take_over(using, process, now)
                process.leave()
    return rescued


def _take_over(using: str, process: Process, now: datetime) -> list[Run]:
    lost = Run.objects.using(using).running().filter(holder=process.pk).select_related("task")
    again = [run for run in lost if _runs_again(run)]
    given_up = [run for run in lost if run not in again]
    ledger = Run.objects.using(using)
    reason = f"Its worker, {process}, was not heard of until its lease ran out"
    ledger.held(again).update(
        state=RunState.WAITING,
        holder=None,
        times_lost=F("times_lost") + 1,
        reason=f"{reason}; run again."[:500],
    )
    ledger.held(given_up).update(
        state=RunState.LOST,
        times_lost=F("times_lost") + 1,
        finished_at=now,
        reason=f"{reason}."[:500],
    )
    if process.role == Role.WORKER or again or given_up:
        logger.warning(
            "%s is gone: %d runs wait again, %d are lost", process, len(again), len(given_up)
        )
    return again


def _runs_again(run: Run) -> bool:
    if run.task is None or run.task.on_lost == OnLost.FAIL:
        return False
    return run.times_lost < conf.get_settings().lost_limit
