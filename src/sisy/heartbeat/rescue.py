"""What becomes of runs whose worker was not heard of until its lease ran out."""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from sisy.log import logger
from sisy.models import Process, Role, Run
from sisy.models.losing import settle_lost


def rescue_lost(using: str, now: datetime) -> list[Run]:
    """Take the runs of dead processes from them, and return those that wait again."""
    rescued: list[Run] = []
    for process in Process.objects.using(using).expired(now):
        with transaction.atomic(using=using):
            expired = Process.objects.using(using).expired(now).filter(pk=process.pk)
            if list(expired.select_for_update(skip_locked=True)):
                held = Run.objects.using(using).running().filter(holder=process.pk)
                reason = f"Its worker, {process}, was not heard of until its lease ran out"
                again, given_up = settle_lost(using, held.lock(), reason, now)
                process.leave()
                rescued += again
                if process.role == Role.WORKER or again or given_up:
                    _log(str(process), again, given_up)
    return rescued


def rescue_orphans(using: str, now: datetime) -> list[Run]:
    """Take the runs of processes that are not on the books, and return those that wait again.

    There are none but where somebody has deleted the row of a process.
    """
    holder = Process.objects.filter(pk=OuterRef("holder"))
    with transaction.atomic(using=using):
        orphans = Run.objects.using(using).running().filter(~Exists(holder))
        reason = "Its worker is not on the books"
        again, given_up = settle_lost(using, orphans.lock(), reason, now)
    if again or given_up:
        _log("A worker that is not on the books", again, given_up)
    return again


def _log(who: str, again: list[Run], given_up: list[Run]) -> None:
    logger.warning("%s is gone: %d runs wait again, %d are lost", who, len(again), len(given_up))
