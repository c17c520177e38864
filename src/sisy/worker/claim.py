"""Wins queued runs for a worker; each run has one winner."""

from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from sisy import conf, signals
from sisy.models import Process, Queue, Run
from sisy.models.prepared import Limit, Names, prepared
from sisy.models.run_queries import RunQuerySet
from sisy.models.task_queries import DELETED
from sisy.runtime.checkpoint import checkpoint
from sisy.worker.fetching import fetch_tasks
from sisy.worker.settling import Settled, settle
from sisy.worker.starting import start

FURTHER_BATCH = 200
MAX_FURTHER_BATCHES = 50
UNREAD = ("reason", "error", "result", "cancel_reason")  # of attempts before; they may be long
TRIES = 3  # further looks at what another worker decides upon just now, before leaving it to him


@dataclass(frozen=True, slots=True)
class Claimant:
    """The claimant of runs: a process, its queues and engine, and the time."""

    process: Process
    queues: Sequence[str]
    engine: str
    now: datetime
    missing: frozenset[str] = frozenset()
    """The paths of functions that it does not find."""

    @property
    def using(self) -> str:
        return self.process.using


def claim(
    process: Process,
    queues: Sequence[str],
    limit: int,
    now: datetime,
    engine: str = "",
    missing: frozenset[str] = frozenset(),
) -> list[Run]:
    """Win up to ``limit`` queued runs for ``process``, which begin now, and return them.

    A run that may not start beside another one of its task is settled by the task's policy: this
    is decided here and not when it was planned, since only now is it known what still runs. Runs
    that are skipped, or wait for their turn, keep no slot from those behind them.

    Args:
        engine: whose runs; by default, those of Sisy's own workers.
        missing: the paths of functions that the process does not find: see `resolvable`.

    Raises:
        LeaseLost: the process's lease has expired; it must renew it, or sign on again.
    """
    claimant = Claimant(process, _open(process.using, queues), engine, now, missing)
    won: list[Run] = []
    blocked: set[int | None] = set()
    contended: set[int | None] = set()
    for size in (limit, *[FURTHER_BATCH] * MAX_FURTHER_BATCHES):
        batch, is_last = _claim_batch(claimant, limit - len(won), size, blocked | contended)
        won += batch.starting
        blocked |= batch.blocked
        contended |= batch.contended
        if is_last or len(won) == limit:
            break
    for _ in range(TRIES):
        if not contended or len(won) == limit:
            break
        batch, _ = _claim_batch(claimant, limit - len(won), limit, blocked)
        won += batch.starting
        blocked |= batch.blocked
        contended = batch.contended
    return won


def claim_one(process: Process, pk: int, now: datetime) -> Run | None:
    """Win the run with this key, or the one of its task whose turn it is.

    Returns None if it is no longer queued, may not start now, or another process decides just now.

    Raises:
        LeaseLost: as `claim` does.
    """
    using = process.using
    wanted = Run.objects.using(using).ready(now).filter(pk=pk)
    queue, engine = wanted.values_list("queue", "engine").first() or ("", "")
    if not _open(using, [queue]):
        return None
    claimant = Claimant(process, [queue], engine, now)
    with transaction.atomic(using=using):
        locked = wanted.defer(*UNREAD).select_for_update(skip_locked=True)
        settled = _settle(claimant, list(locked), 1)
    return next(iter(settled.starting), None)


def any_ready(using: str, queues: Sequence[str], now: datetime) -> bool:
    """Return whether `claim` would find a run to decide upon; it costs less, and locks nothing."""
    query = prepared(_any_ready, using, queues=Names, now=datetime)
    return bool(query.rows(queues=list(queues), now=now))


def _any_ready(queues: list[str], now: datetime) -> "QuerySet[Run, tuple[int]]":
    ready = Run.objects.ready(now).native().filter(queue__in=queues)
    return ready.order_by().values_list("pk")[:1]


def _open(using: str, queues: Sequence[str]) -> list[str]:
    """Return those of ``queues`` that nobody has paused.

    They are asked for before: where it was one question, InnoDB would lock more than it returns.
    """
    paused = {name for (name,) in prepared(_paused, using).rows()}
    return [queue for queue in queues if queue not in paused]


def _paused() -> QuerySet[Queue, tuple[str]]:
    return Queue.objects.paused().values_list("name")


def _claim_batch(
    claimant: Claimant, free: int, size: int, blocked: Collection[int | None]
) -> tuple[Settled, bool]:
    """Return what came of some runs at the head of the queues, and whether they were the last."""
    with transaction.atomic(using=claimant.using):
        locked = _lock(claimant, size, blocked)
        settled = _settle(claimant, locked[:size], free)
    if settled.starting:
        checkpoint("claim: committed")
    return settled, len(locked) < size


def _settle(claimant: Claimant, locked: Sequence[Run], free: int) -> Settled:
    """Settle what becomes of runs that are locked, and let those begin that may."""
    if not locked:
        return Settled()
    checkpoint("claim: runs locked")
    using, now = claimant.using, claimant.now
    tasks = fetch_tasks(using, locked)
    runs = _call_off_unwanted(using, locked, now)
    if not runs:
        return Settled()
    settled = settle(using, runs, tasks, claimant.queues, free, now, claimant.missing)
    start(using, settled.starting, claimant.process, now)
    checkpoint("claim: runs started")
    Run.tell(signals.run_started, map(copy, settled.starting), using)  # before they go on
    return settled


def _lock(claimant: Claimant, size: int, blocked: Collection[int | None]) -> list[Run]:
    """Lock the first runs of each queue, and return all in the order of their turn.

    Each queue is looked at by itself, since an index leads to its first runs only.
    """
    found = [run for queue in claimant.queues for run in _first_of(claimant, queue, size, blocked)]
    return sorted(found, key=lambda run: (-run.priority, run.ready_at, run.pk))


def _first_of(
    claimant: Claimant, queue: str, size: int, blocked: Collection[int | None]
) -> list[Run]:
    using, engine, now = claimant.using, claimant.engine, claimant.now
    if blocked or claimant.missing:
        ready = _ready(queue, engine, now).using(using)
        ready = ready.resolvable(claimant.missing, now - conf.get_settings().missing_code)
        return list(ready.exclude(task__in=blocked)[:size])
    query = prepared(_first_ready, using, queue=str, engine=str, now=datetime, limit=Limit)
    return query.records(queue=queue, engine=engine, now=now, limit=size)


def _ready(queue: str, engine: str, now: datetime) -> RunQuerySet:
    ready = Run.objects.ready(now).filter(engine=engine, queue=queue)
    return ready.defer(*UNREAD).select_for_update(skip_locked=True)


def _first_ready(queue: str, engine: str, now: datetime, limit: int) -> "QuerySet[Run]":
    return _ready(queue, engine, now)[:limit]


def _call_off_unwanted(using: str, runs: Sequence[Run], now: datetime) -> list[Run]:
    """Return the runs that are still wanted; call off the others.

    Those are runs whose task was deleted, and those that somebody wanted to end when their worker
    left, in which they may have gone on until now.
    """
    wanted = [run for run in runs if run.task is not None and run.cancel_requested_at is None]
    if len(wanted) < len(runs):
        these = Run.objects.using(using).filter(pk__in=[run.pk for run in runs])
        these.without_task().cancel_queued(DELETED, now)
        these.cancel_requested(now)
    return wanted
