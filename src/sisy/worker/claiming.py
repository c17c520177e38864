"""Wins waiting runs for a worker; each run has one winner."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from sisy import signals
from sisy.models import Process, Queue, Run
from sisy.models.prepared import Limit, Names, prepared
from sisy.models.task_queries import DELETED
from sisy.worker.fetching import fetch_tasks
from sisy.worker.settling import Settled, settle
from sisy.worker.starting import start

MANY = 200
MOST_BATCHES = 50
UNREAD = ("reason", "error", "result", "cancel_reason")  # of attempts before; they may be long
TRIES = 3  # further looks at what another worker decides upon just now, before leaving it to him


def claim(holder: Process, queues: Sequence[str], limit: int, now: datetime) -> list[Run]:
    """Win up to ``limit`` waiting runs for ``holder``, which begin now, and return them.

    A run that may not start beside another one of its task is settled by the task's policy: this
    is decided here and not when it was planned, since only now is it known what still runs. Runs
    that are skipped, or wait for their turn, keep no slot from those behind them.

    Raises:
        LeaseLost: the holder's lease has expired; it must renew it, or sign on again.
    """
    queues = _open(holder._state.db or "default", queues)
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


def something_waits(using: str, queues: Sequence[str], now: datetime) -> bool:
    """Return whether `claim` would find a run to decide upon; it costs less, and locks nothing."""
    query = prepared(_any_ready, using, queues=Names, now=datetime)
    return bool(query.rows(queues=list(queues), now=now))


def _any_ready(queues: list[str], now: datetime) -> "QuerySet[Run, tuple[int]]":
    return Run.objects.ready(now).filter(queue__in=queues).order_by().values_list("pk")[:1]


def _open(using: str, queues: Sequence[str]) -> list[str]:
    """Return those of ``queues`` that nobody has paused.

    They are asked for before: where it was one question, InnoDB would lock more than it returns.
    """
    paused = {name for (name,) in prepared(_paused, using).rows()}
    return [queue for queue in queues if queue not in paused]


def _paused() -> QuerySet[Queue, tuple[str]]:
    return Queue.objects.paused().values_list("name")


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
        tasks = fetch_tasks(using, locked[:size])
        runs = _call_off_orphans(using, locked[:size], now)
        settled = settle(using, runs, tasks, queues, free, now)
        start(using, settled.starting, holder, now)
        Run.tell(signals.run_started, settled.starting, using)
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
    ready = Run.objects.ready(now).filter(queue=queue)
    return ready.defer(*UNREAD).select_for_update(skip_locked=True)


def _first_ready(queue: str, now: datetime, limit: int) -> "QuerySet[Run]":
    return _ready(queue, now)[:limit]


def _call_off_orphans(using: str, runs: Sequence[Run], now: datetime) -> list[Run]:
    """Return the runs whose task is still there; call off those whose task was deleted."""
    if any(run.task is None for run in runs):
        orphans = Run.objects.using(using).filter(pk__in=[run.pk for run in runs]).without_task()
        orphans.cancel_waiting(DELETED, now)
    return [run for run in runs if run.task is not None]
