"""Claim queued runs for a worker. Each run has exactly one winner.

A claim takes a run from the queue, and its transaction decides everything at once: which worker
gets the run, whether the run may start next to other runs of its task, and that it is running.

    queued --lock--> locked --decide--> starting --commit--> running
                        |
                        +--> queued     blocked: it is not its turn yet (overlap policy)
                        +--> queued     contended: another worker is deciding about its task
                        +--> skipped    the overlap policy drops it
                        +--> cancelled  its task was deleted, or a user cancelled it

1. Lock the first ready runs of each queue with SKIP LOCKED. Two workers never lock the same run,
   and neither waits for the other. On PostgreSQL, a worker with one queue starts in the same
   statement those that may overlap; the other steps are for the rest.
2. Fetch their tasks, and lock the tasks whose runs must not overlap (`fetch_tasks`). Without this
   lock, two workers could both find that nothing of the task is running.
3. Apply each task's overlap policy (`apply_policies`).
4. Mark the winners as running in one UPDATE that repeats its assumption, namely that the worker's
   lease has not expired (`start`). If it has, `LeaseLost` rolls everything back.

If the worker dies before the commit, the runs are still queued. If it dies after the commit, they
are running under its lease, and a heartbeat rescues them when the lease expires: see `Lease`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from types import MappingProxyType

from django.db import transaction

from sisy.lifecycle.cancel import TASK_DELETED, cancel_queued, cancel_requested
from sisy.lifecycle.start import note_started, start
from sisy.models import Origin, Overlap, Process, Run, Task
from sisy.models.process import LONGEST_LEASE
from sisy.records.instances import refer, refer_to_none
from sisy.runtime.checkpoint import checkpoint
from sisy.store import claims
from sisy.store.claims import ClaimScope
from sisy.store.levels import Level
from sisy.store.starts import MAX_STARTED_AT_ONCE, has_start_first_ready, start_first_ready
from sisy.worker.low_water import LowWaterMarks
from sisy.worker.overlap import ClaimResult, apply_policies

FURTHER_BATCH = 200
MAX_FURTHER_BATCHES = 50
# How often to look again at tasks that another worker has locked, before leaving them to it.
CONTENDED_TRIES = 3
ONLY_ONCE = (Origin.ONCE, Origin.ENQUEUED)


def claim(
    process: Process,
    queues: Sequence[str],
    limit: int,
    now: datetime,
    engine: str = "",
    missing: frozenset[str] = frozenset(),
    marks: LowWaterMarks | None = None,
    expects_many: bool = False,
) -> list[Run]:
    """Claim up to ``limit`` queued runs for ``process``, mark them as running, and return them.

    Args:
        engine: the engine whose runs to claim; by default, runs of Sisy's own workers.
        missing: the dotted paths of functions that the process cannot find; see `claims`.
        marks: where the claims of this process begin; by default, at the beginning of each queue.
        expects_many: whether the last claim has filled its limit. It costs less to lock many runs
            at once.

    Raises:
        LeaseLost: the process's lease has expired. Renew it or register again.
    """
    using = process.using
    scope = ClaimScope(using, claims.claimable_queues(using, queues), engine, now, missing)
    if marks is None:
        marks = LowWaterMarks(using, engine)
        marks.renew(scope.queues, now)
    won: list[Run] = []
    blocked: set[int] = set()
    contended: set[int] = set()
    # Runs that are skipped or blocked take no slot, so look further down the queue until the slots
    # are full.
    sizes = [limit, *[FURTHER_BATCH] * MAX_FURTHER_BATCHES]
    if limit > MAX_STARTED_AT_ONCE and not expects_many and has_start_first_ready(scope):
        sizes.insert(0, MAX_STARTED_AT_ONCE)
    for size in sizes:
        free = limit - len(won)
        batch, is_last = _claim_batch(process, scope, marks, free, size, blocked | contended)
        won += batch.starting
        blocked |= batch.blocked
        contended |= batch.contended
        if is_last or len(won) == limit:
            break
    # Another worker had locked these tasks. Its transaction is short, so try again.
    for _ in range(CONTENDED_TRIES):
        if not contended or len(won) == limit:
            break
        batch, _ = _claim_batch(process, scope, marks, limit - len(won), limit, blocked)
        won += batch.starting
        blocked |= batch.blocked
        contended = batch.contended
    return won


def claim_one(process: Process, pk: int, now: datetime) -> Run | None:
    """Claim the run with this key, or the run of its task whose turn it is.

    Returns None if the run is no longer queued, may not start now, or is locked by another
    process.

    Raises:
        LeaseLost: the process's lease has expired, as in `claim`.
    """
    using = process.using
    wanted = Run.objects.using(using).ready(now).filter(pk=pk)
    queue, engine = wanted.values_list("queue", "engine").first() or ("", "")
    if not claims.open_queues(using, [queue]):
        return None
    scope = ClaimScope(using, [queue], engine, now)
    with transaction.atomic(using=using):
        locked = wanted.defer(*claims.DEFERRED).select_for_update(skip_locked=True)
        result = _start_allowed(process, scope, list(locked), 1)
    return next(iter(result.starting), None)


def _claim_batch(
    process: Process,
    scope: ClaimScope,
    marks: LowWaterMarks,
    free: int,
    size: int,
    blocked: Collection[int],
) -> tuple[ClaimResult, bool]:
    """Claim from the first runs of the queues. Also return whether there were no more."""
    started: dict[int, Task] = {}
    with transaction.atomic(using=scope.using):
        lock: Callable[[Level, int], list[Run]]
        if size <= min(free, MAX_STARTED_AT_ONCE) and _starts_in_order(scope, blocked):
            lock = partial(_start_first, process, scope, started)
        else:
            lock = partial(claims.lock_first_ready, scope, Run, blocked=blocked)
        first = lock_first(scope, marks, size, lock)
        locked = sorted(chain(*first.values()), key=turn)
        result = _start_allowed(process, scope, locked[:size], free, started)
    if result.starting:
        checkpoint("claim: committed")
    if not blocked and not scope.missing:  # otherwise, queued runs were left out
        open_queues = _open_queues(scope, first)
        for level, runs in first.items():
            if level.queue in open_queues:
                marks.advance(level, runs, scope.now)
    return result, len(locked) < size


def _open_queues(scope: ClaimScope, first: Mapping[Level, Sequence[Run]]) -> Collection[str]:
    """Return the queues that are known not to be paused, by the first runs that were locked."""
    if not claims.passes_over_paused_queues(scope.using):
        return scope.queues
    with_runs = {level.queue for level, runs in first.items() if runs}
    # Nothing has to start, so there is time to ask.
    return with_runs or claims.open_queues(scope.using, scope.queues)


def _starts_in_order(scope: ClaimScope, blocked: Collection[int]) -> bool:
    """Return whether each run that is locked first is also the first to start."""
    return has_start_first_ready(scope) and not blocked and not scope.missing


def _start_first(
    process: Process, scope: ClaimScope, started: dict[int, Task], level: Level, limit: int
) -> list[Run]:
    """Lock the first runs of a level and start those that may overlap.

    Add the keys of these to ``started``, with their tasks.
    """
    latest = scope.now + LONGEST_LEASE
    locked, tasks, pks = start_first_ready(scope, Run, Task, level, limit, process.pk, latest)
    started |= {run.pk: tasks[run.task_id] for run in locked if run.pk in pks}
    return sorted(locked, key=turn)


def _start_allowed(
    process: Process,
    scope: ClaimScope,
    locked: Sequence[Run],
    free: int,
    started: Mapping[int, Task] = MappingProxyType({}),
) -> ClaimResult:
    """Decide about locked runs, and start those that may start.

    Args:
        started: the tasks of those that have started when they were locked, by their keys.
    """
    if not locked:
        return ClaimResult()
    checkpoint("claim: runs locked")
    using, now = scope.using, scope.now
    at_once = [run for run in locked if run.pk in started]
    _assign_tasks(at_once, {task.pk: task for task in started.values()})
    result = ClaimResult()
    if others := [run for run in locked if run.pk not in started]:
        tasks = fetch_tasks(using, others)
        if runs := _cancel_unwanted(using, others, now):
            result = apply_policies(scope, runs, tasks, free - len(at_once))
        start(using, result.starting, process, now, latest=now + LONGEST_LEASE)
    note_started(using, at_once, process, now)
    result.starting = sorted([*at_once, *result.starting], key=turn)
    if result.starting:
        checkpoint("claim: runs started")
    return result


def lock_first(
    scope: ClaimScope,
    marks: LowWaterMarks,
    size: int,
    lock: Callable[[Level, int], list[Run]],
) -> dict[Level, list[Run]]:
    """Lock the first ``size`` runs of each queue, and return them by level.

    Args:
        lock: locks up to a number of runs of a level.
    """
    locked: dict[Level, list[Run]] = {}
    for queue in scope.queues:
        room = size
        for level in marks.levels(queue):
            if room:
                locked[level] = lock(level, room)
                room -= len(locked[level])
    return locked


def turn(run: Run) -> tuple[int, datetime, int]:
    """Return what orders the ready runs of all queues."""
    return -run.priority, run.ready_at, run.id


def fetch_tasks(using: str, runs: Sequence[Run]) -> dict[int, Task]:
    """Set the current task of each run, or None if the task was deleted.

    Returns the tasks that this call has locked, by key: those whose runs must not overlap, except
    tasks that another worker has locked.
    """
    wanted = {run.task_id for run in runs if run.task_id is not None}
    # Tasks that run once usually allow overlap. Read them without a lock first, and lock only
    # those that turn out to forbid it, so that workers do not block each other.
    suspects = wanted & {run.task_id for run in runs if run.origin not in ONLY_ONCE}
    locked = claims.lock_exclusive_tasks(using, Task, suspects)
    others = claims.read_tasks(using, Task, wanted - locked.keys())
    exclusive = {pk for pk in others.keys() - suspects if others[pk].overlap != Overlap.ALLOW}
    locked |= claims.lock_exclusive_tasks(using, Task, exclusive)
    _assign_tasks(runs, others | locked)
    return locked


def _assign_tasks(runs: Iterable[Run], tasks: Mapping[int, Task]) -> None:
    """Give each run its own task object."""
    # Functions may change their task, and several runs of a task may execute at the same time.
    assigned: set[int] = set()
    for run in runs:
        task = tasks.get(run.task_id) if run.task_id is not None else None
        if task is None:
            refer_to_none(run, "task")
            continue
        own = task.twin() if task.pk in assigned else task
        refer(run, "task", own)
        assigned.add(task.pk)
        if task.runs_once and not task.userdata:
            # A task that many runs share, as with enqueue(): each run carries its own data. They
            # were checked when they were stored.
            own._extra_data = run.payload


def _cancel_unwanted(using: str, runs: Sequence[Run], now: datetime) -> list[Run]:
    """Cancel runs that must not start any more, and return the others."""
    # A run must not start if its task was deleted, or if a user cancelled it while it was running
    # in a worker that then shut down. That worker may have executed it until now.
    wanted = [run for run in runs if run.task is not None and run.cancel_requested_at is None]
    if len(wanted) < len(runs):
        these = Run.objects.using(using).filter(pk__in=[run.pk for run in runs])
        cancel_queued(these.without_task(), TASK_DELETED, now)
        cancel_requested(these, now)
    return wanted
