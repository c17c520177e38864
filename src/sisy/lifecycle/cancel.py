"""Cancel queued runs, and request that running ones stop."""

from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from sisy import signals
from sisy.lifecycle.transition import Transition, send_for_rows
from sisy.records.choices import LIVE_STATES, RunState
from sisy.records.run import RunRecord
from sisy.runtime.compat import for_write
from sisy.store import entries
from sisy.store.run_queries import RunRows, all_runs, rows_of

BATCH = 1000

TASK_DELETED = "The task was deleted."


def cancel_or_request(
    runs: RunRows[Any], reason: str, now: datetime, *, by_force: bool = False
) -> tuple[list[int], list[int]]:
    """Cancel those of ``runs`` that are queued, and request that running ones stop.

    Returns:
        The keys of those that were cancelled, and of those that were asked to stop and had not
        been asked before.
    """
    return cancel_or_request_live(runs.live(), reason, now, by_force=by_force)


def cancel_or_request_live(
    runs: RunRows[Any], reason: str, now: datetime, *, by_force: bool = False
) -> tuple[list[int], list[int]]:
    """Like `cancel_or_request`, for ``runs`` chosen by keys or by entries in small tables."""
    runs = for_write(runs)
    with transaction.atomic(using=runs.db):
        chosen = all_runs(runs).filter(pk__in=runs.filter(state__in=LIVE_STATES).lock())
        cancelled = cancel_queued(chosen.surely_queued(now), reason, now)
        return cancelled, request_cancel(chosen, reason, now, by_force=by_force)


def cancel_run(run: RunRecord, using: str, reason: str, now: datetime, *, by_force: bool) -> bool:
    """Cancel one run, or ask it to stop. Return False if it has finished or was already asked."""
    this = rows_of(type(run), using).filter(pk=run.pk)
    cancelled, asked = cancel_or_request_live(this, reason, now, by_force=by_force)
    if cancelled:
        _cancelled(reason, now).note([run])
    if asked:
        _request(reason, now, by_force).note([run])
    return bool(cancelled or asked)


def cancel_queued(runs: RunRows[Any], reason: str | F, now: datetime) -> list[int]:
    """Cancel those of ``runs`` that are queued, and return their keys."""
    runs = for_write(runs)
    with transaction.atomic(using=runs.db):
        pks = runs.queued().lock()
        for start in range(0, len(pks), BATCH):
            these = all_runs(runs).filter(pk__in=pks[start : start + BATCH])
            _cancelled(reason, now).write(these)
            send_for_rows(signals.run_cancelled, these)
    return pks


def cancel_requested(runs: RunRows[Any], now: datetime) -> list[int]:
    """Cancel those of ``runs`` that are queued and were asked to stop, and return their keys."""
    return cancel_queued(runs.exclude(cancel_requested_at=None), F("cancel_reason"), now)


def cancel_left(runs: RunRows[Any], now: datetime) -> list[int]:
    """Cancel those of ``runs`` that were asked to stop and whose worker has left them running.

    Call it in the transaction that has locked them. Returns their keys.
    """
    asked = for_write(runs).running().exclude(cancel_requested_at=None)
    pks = list(asked.values_list("pk", flat=True))
    these = all_runs(runs).filter(pk__in=pks)
    if pks:
        _cancelled(F("cancel_reason"), now).write(these)
        send_for_rows(signals.run_cancelled, these)
    return pks


def cancel_in_migration(runs: QuerySet[Any], reason: str, now: datetime) -> int:
    """Cancel the queued runs among ``runs``, of a historical model. Return their number."""
    # No signal is sent: receivers expect the current model, whose columns may not exist yet.
    pks = list(runs.filter(state=RunState.QUEUED).values_list("pk", flat=True))
    count = _cancelled(reason, now).write(runs.filter(pk__in=pks))
    # Before the migration that creates the small tables, there are no entries to update.
    if "queuedrun" in runs.model._meta.apps.all_models["sisy"]:
        entries.follow(runs.db, pks)
    return count


def request_cancel(
    runs: RunRows[Any], reason: str, now: datetime, *, by_force: bool = False
) -> list[int]:
    """Request that those of ``runs`` that are running stop; call it in a transaction.

    The runs are chosen by their keys, or by entries in small tables. The request is stored on the
    row. The state changes when the function has ended.

    Returns:
        The keys of those that were not asked before.
    """
    runs = for_write(runs)
    asked_less = Q(cancel_requested_at=None)
    if by_force:
        asked_less |= Q(cancel_force=False)
    pks = runs.not_surely_queued(now).filter(asked_less).lock()
    asked = all_runs(runs).not_surely_queued(now).filter(pk__in=pks)
    _request(reason, now, by_force).write(asked)
    if pks:
        tasks = sorted(set(asked.exclude(task=None).values_list("task", flat=True)))
        send = partial(
            signals.cancel_requested.send_robust, sender=runs.model, pks=pks, tasks=tasks
        )
        transaction.on_commit(send, using=runs.db, robust=True)
    return pks


def _cancelled(reason: str | F, now: datetime) -> Transition:
    return Transition({"state": RunState.CANCELLED, "reason": reason, "finished_at": now})


def _request(reason: str, now: datetime, by_force: bool) -> Transition:
    return Transition(
        {"cancel_requested_at": now, "cancel_force": by_force, "cancel_reason": reason[:500]}
    )
