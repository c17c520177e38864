"""Rescue the runs of processes that died or did not renew their lease."""

from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from sisy import conf
from sisy.alerting import heartbeats
from sisy.lifecycle.cancel import cancel_left
from sisy.lifecycle.lose import lose
from sisy.lifecycle.release import TIME_TO_GO
from sisy.models import Process, Role, Run, RunningRun, RunState
from sisy.models.process import ProcessQuerySet
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.log import logger
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store.isolation import isolating

ORPHAN_BATCH = 500  # runs of unregistered processes to rescue in one pass


def rescue_lost(
    using: str, now: datetime, judges_leases: bool = True, turn: Turn = ENDLESS
) -> list[Run]:
    """Take the runs away from dead processes, and return those that are queued again.

    Args:
        judges_leases: whether an expired lease counts as death. Processes that a parent has seen
            die are dead in any case.
    """
    rescued: list[Run] = []
    # After an outage, many processes may be dead. The next pass continues.
    for number, process in enumerate(_gone(using, now, judges_leases)):
        if number and turn.ends_here():
            break
        rescue = partial(_rescue, using, process, now, judges_leases)
        rescued += isolating(rescue, partial(_leave_for_the_next_pass, process))
        checkpoint("rescue: committed")
    return rescued


def rescue_orphans(using: str, now: datetime) -> list[Run]:
    """Take the runs of processes that are not registered, and return those queued again."""
    # A worker that stops leaves those runs that were asked to stop. Others are found only if the
    # row of a process was deleted by hand, or if a process has ended without releasing its runs.
    # Leases do not matter here.
    without = RunningRun.objects.using(using).filter(~_process("process_id", now))
    some = list(without.order_by("run_id").values_list("run_id", flat=True)[:ORPHAN_BATCH])
    if not some:
        return []
    with transaction.atomic(using=using):
        runs = Run.objects.using(using)
        orphans = runs.filter(~_process("process", now), pk__in=some, state=RunState.RUNNING)
        locked = runs.filter(pk__in=orphans.lock())
        cancel_left(locked, now)
        again, ended = lose(locked, "Its worker is not registered", now)
    if again or ended:
        _log("an unregistered worker", again, ended)
    return again


def _process(column: str, now: datetime) -> Exists:
    """Return a condition for rows whose process is registered, or may still be exiting."""
    # Nothing can stop a thread before its process has exited.
    exiting = Q(ended_at__range=(now - TIME_TO_GO, now + TIME_TO_GO))
    processes = Process.all_objects.filter(Q(ended_at=None) | exiting)
    return Exists(processes.filter(pk=OuterRef(column)))


def _gone(using: str, now: datetime, judges_leases: bool) -> ProcessQuerySet:
    processes = Process.objects.using(using).all()
    seen = processes.reported_dead()
    return seen | processes.expired(now) if judges_leases else seen


def _leave_for_the_next_pass(process: Process, error: Exception) -> list[Run]:
    logger.error(
        "Could not rescue the runs of %s; retrying in the next pass", process, exc_info=error
    )
    return []


def _rescue(using: str, process: Process, now: datetime, judges_leases: bool) -> list[Run]:
    """Rescue the runs of one process, unless it has renewed or another heartbeat rescues them."""
    with transaction.atomic(using=using):
        # The lock on the process's row makes its next renewal wait, and then match no row.
        gone = _gone(using, now, judges_leases).filter(pk=process.pk)
        kept = gone.select_for_update(skip_locked=True).first()
        if kept is None:
            return []
        held = Run.objects.using(using).running_in(kept.pk)
        end = _what_happened_to(kept, now)
        reason = f"The {kept} {end}"
        locked = held.lock()
        checkpoint("rescue: runs locked")
        again, ended = lose(Run.objects.using(using).filter(pk__in=locked), reason, now)
        checkpoint("rescue: runs settled")
        kept.leave(f"It {end}.", now)
        heartbeats.note_death(using, kept, now)
        if kept.role == Role.WORKER or again or ended:
            _log(str(kept), again, ended)
        return again


def _what_happened_to(process: Process, now: datetime) -> str:
    """Return how a process ended, as words that follow its name."""
    if process.end_reason:
        return f"died ({process.end_reason})"
    end = "did not renew its lease"
    if process.has_silent_host(now, conf.get_settings().lease):
        return f"{end}, and neither did any other process on {process.host}"
    return end


def _log(who: str, again: list[Run], ended: list[Run]) -> None:
    parts = ((again, "%d queued again"), (ended, "%d ended"))
    what = ", ".join(words % len(runs) for runs, words in parts if runs)
    if what:
        logger.warning("Rescued the runs of %s: %s", who, what)
    else:
        logger.warning("%s is gone; it had no runs to rescue", who)
