"""Wins waiting runs for a worker; each run has one winner."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet

from sisy.exceptions import LeaseLost
from sisy.models import Process, Run, RunState
from sisy.models.prepared import Limit, prepared
from sisy.models.process import LONGEST_LEASE
from sisy.models.task_queries import DELETED
from sisy.worker.fetching import fetch_tasks
from sisy.worker.settling import Settled, settle

MANY = 200
MOST_BATCHES = 50
TRIES = 3  # further looks at what another worker decides upon just now, before leaving it to him


def claim(holder: Process, queues: Sequence[str], limit: int, now: datetime) -> list[Run]:
    """Win up to ``limit`` waiting runs for ``holder``, which begin now, and return them.

    A run that may not start beside another one of its task is settled by the task's policy: this
    is decided here and not when it was planned, since only now is it known what still runs. Runs
    that are skipped, or wait for their turn, keep no slot from those behind them.

    Raises:
        LeaseLost: the holder's lease has expired; it must renew it, or sign on again.
    """
    won: list[Run] = []
    blocked: set[int | None] = set()
    contended: set[int | None] = set()
    for size in (limit, *[MANY] * MOST_BATCHES):
        left_out = blocked | contended
        batch, is_last = _claim_batch(holder, queues, limit - len(won), size, left_out, now)
        won += batch.starting
        blocked |= batch.blocked
        contended |= batch.contended
        if is_last or len(won) == limit:
            break
    for _ in range(TRIES):
        if not contended or len(won) == limit:
            break
        batch, _ = _claim_batch(holder, queues, limit - len(won), limit, blocked, now)
        won += batch.starting
        blocked |= batch.blocked
        contended = batch.contended
    return won


def _claim_batch(
    holder: Process,
    queues: Sequence[str],
    free: int,
    size: int,
    blocked: Collection[int | None],
    now: datetime,
) -> tuple[Settled, bool]:
    """Return what came of some runs at the head of the queues, and whether they were the last."""
    using = holder._state.db or "default"
    with transaction.atomic(using=using):
        locked = _lock(using, queues, size, blocked, now)
        if not locked:
            return Settled(), True
        _lock_holder(using, holder, now)
        tasks = fetch_tasks(using, locked[:size])
        runs = _call_off_orphans(using, locked[:size], now)
        settled = settle(using, runs, tasks, queues, free, now)
        _start(using, settled.starting, holder, now)
    return settled, len(locked) < size


def _lock(
    using: str, queues: Sequence[str], size: int, blocked: Collection[int | None], now: datetime
) -> list[Run]:
    """Lock the first runs of each queue, and return all in the order of their turn.

    Each queue is looked at by itself, since an index leads to its first runs only.
    """
    found = [run for queue in queues for run in _first_of(using, queue, size, blocked, now)]
    return sorted(found, key=lambda run: (-run.priority, run.ready_at, run.pk))


def _first_of(
    using: str, queue: str, size: int, blocked: Collection[int | None], now: datetime
) -> list[Run]:
    if blocked:
        return list(_ready(queue, now).using(using).exclude(task__in=blocked)[:size])
    query = prepared(_first_ready, using, queue=str, now=datetime, limit=Limit)
    return query.records(queue=queue, now=now, limit=size)


def _ready(queue: str, now: datetime) -> "QuerySet[Run]":
    ready = Run.objects.ready(now).filter(queue=queue).in_open_queues()
    return ready.select_for_update(skip_locked=True)


def _first_ready(queue: str, now: datetime, limit: int) -> "QuerySet[Run]":
    return _ready(queue, now)[:limit]


def _call_off_orphans(using: str, runs: Sequence[Run], now: datetime) -> list[Run]:
    """Return the runs whose task is still there; call off those whose task was deleted."""
    if any(run.task is None for run in runs):
        orphans = Run.objects.using(using).filter(pk__in=[run.pk for run in runs]).without_task()
        orphans.cancel_waiting(DELETED, now)
    return [run for run in runs if run.task is not None]


def _lock_holder(using: str, holder: Process, now: datetime) -> None:
    """Keep the holder on the books, and its lease from being taken for expired.

    Nobody would rescue the runs of one that is not on the books, and a heartbeat would at once
    take those of one whose lease has run out, as that of a host that slept.
    """
    query = prepared(_kept, using, pk=int, now=datetime, latest=datetime)
    if not query.rows(pk=holder.pk, now=now, latest=now + LONGEST_LEASE):
        raise LeaseLost(f"{holder} has lost its lease.")


def _kept(pk: int, now: datetime, latest: datetime) -> QuerySet[Process, tuple[int]]:
    kept = Process.objects.filter(pk=pk).leased_until(now, latest)
    return kept.select_for_update().values_list("pk")


def _start(using: str, runs: Sequence[Run], holder: Process, now: datetime) -> None:
    if not runs:
        return
    Run.objects.using(using).filter(pk__in=[run.pk for run in runs]).update(
        state=RunState.RUNNING,
        holder=holder,
        worker=str(holder),
        attempt=F("attempt") + 1,
        started_at=now,
    )
    for run in runs:
        run.state, run.holder, run.started_at = RunState.RUNNING, holder, now
        run.attempt += 1
