"""The statements by which a worker claims runs.

A claim is one transaction. It locks the first ready runs of each queue (`LOCK_FIRST_READY`), reads
their tasks, and locks the tasks whose runs may not overlap (`LOCK_EXCLUSIVE_TASKS`). For these it
reads which other runs are queued or running (`LIVE_RUNS`). Then it starts the runs that may start
(`START`). ``SKIP LOCKED`` passes over what another worker decides on at the same time, so that no
worker waits for another one.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connections

from sisy.store.statements import Statement

if TYPE_CHECKING:
    from sisy.models import Process, Run, Task

DEFERRED = frozenset({"reason", "error", "result", "cancel_reason"})
"""Columns of a claimed run that describe earlier attempts, and may be long."""

MAX_LIVE_RUNS = 2000

PAUSED_QUEUES = Statement("SELECT name FROM sisy_queue WHERE paused_at IS NOT NULL")

ANY_READY = Statement("""
    SELECT 1 FROM sisy_run
    WHERE state = 'queued' AND engine = '' AND queue {in_queues} AND ready_at <= %(now)s
    LIMIT 1
""")

# The columns of the conditions and of the order are those of the index sisy_run_claim: the
# database reads as many entries as it returns rows. So each queue is asked for on its own.
LOCK_FIRST_READY = Statement("""
    SELECT {columns} FROM sisy_run
    WHERE state = 'queued' AND engine = %(engine)s AND queue = %(queue)s AND ready_at <= %(now)s
    ORDER BY priority DESC, ready_at, id
    LIMIT %(limit)s
    {skip_locked}
""")

# The same, without the runs of some tasks, and without runs whose function was not found lately.
LOCK_FIRST_READY_OF_OTHERS = Statement("""
    SELECT {columns} FROM sisy_run
    WHERE state = 'queued' AND engine = %(engine)s AND queue = %(queue)s AND ready_at <= %(now)s
        AND (task_id IS NULL OR task_id {not_in_blocked})
        AND NOT (
            target_path {in_missing}
            AND (unresolved_since IS NULL OR unresolved_since > %(missing_since)s)
        )
    ORDER BY priority DESC, ready_at, id
    LIMIT %(limit)s
    {skip_locked}
""")

TASKS = Statement("SELECT {columns} FROM sisy_task WHERE id {in_tasks}")

# Always in the order of their keys, so that no two transactions wait for each other.
LOCK_EXCLUSIVE_TASKS = Statement("""
    SELECT {columns} FROM sisy_task
    WHERE id {in_tasks} AND overlap <> 'allow'
    ORDER BY id
    {skip_locked}
""")

# A queued run that has started and is not ready was handed over by a worker that stops. Its
# function may still run until it is ready. Running ones come first: if there are more rows than
# the limit, the limit leaves out queued ones.
LIVE_RUNS = Statement("""
    SELECT {columns} FROM sisy_run
    WHERE state IN ('queued', 'running') AND task_id {in_tasks} AND id {not_in_known}
        AND (
            state = 'running'
            OR (started_at IS NOT NULL AND ready_at > %(now)s)
            OR (
                ready_at <= %(now)s AND cancel_requested_at IS NULL
                AND queue {in_queues} AND engine = %(engine)s
                AND NOT (
                    target_path {in_missing}
                    AND (unresolved_since IS NULL OR unresolved_since > %(missing_since)s)
                )
            )
        )
    ORDER BY state DESC, ready_at, id
    LIMIT %(limit)s
""")

# The subquery starts the runs only under a lease that has not expired, and locks the process's row
# until the transaction ends: no heartbeat may declare the process dead meanwhile, and rescue runs
# that it cannot see yet.
START = Statement("""
    UPDATE sisy_run
    SET state = 'running', process_id = %(process)s, worker_name = %(worker)s,
        attempt = attempt + 1, started_at = %(now)s
    WHERE id {in_runs} AND EXISTS (
        SELECT 1 FROM sisy_process
        WHERE id = %(process)s AND lease_until BETWEEN %(now)s AND %(latest)s {for_update}
    )
""")

# MariaDB locks the row of the process first.
LOCK_LEASE = Statement("""
    SELECT 1 FROM sisy_process
    WHERE id = %(process)s AND lease_until BETWEEN %(now)s AND %(latest)s
    FOR UPDATE
""")
START_LOCKED = Statement("""
    UPDATE sisy_run
    SET state = 'running', process_id = %(process)s, worker_name = %(worker)s,
        attempt = attempt + 1, started_at = %(now)s
    WHERE id {in_runs}
""")


def paused_queues(using: str) -> set[str]:
    """Return the names of the queues that are paused."""
    return {name for (name,) in PAUSED_QUEUES.rows(using)}


def any_ready(using: str, queues: Sequence[str], now: datetime) -> bool:
    """Return whether a run of these queues is ready for Sisy's own workers."""
    return bool(ANY_READY.rows(using, queues=list(queues), now=now))


def lock_first_ready(
    using: str,
    model: "type[Run]",
    queue: str,
    engine: str,
    now: datetime,
    limit: int,
    *,
    blocked: Collection[int | None] = (),
    missing: Collection[str] = (),
    missing_since: datetime,
) -> "list[Run]":
    """Lock the first ready runs of a queue, and return them in their order.

    Args:
        blocked: the keys of tasks whose runs are left out.
        missing: the dotted paths of functions whose runs are left to other workers.
        missing_since: a run of these is returned if it was released before this moment.
    """
    values = {"queue": queue, "engine": engine, "now": now, "limit": limit}
    if not blocked and not missing:
        return LOCK_FIRST_READY.records(using, model, defer=DEFERRED, **values)
    return LOCK_FIRST_READY_OF_OTHERS.records(
        using,
        model,
        defer=DEFERRED,
        **values,
        blocked=[pk for pk in blocked if pk is not None] or [0],
        missing=list(missing) or [""],
        missing_since=missing_since,
    )


def tasks(using: str, model: "type[Task]", pks: Collection[int]) -> "dict[int, Task]":
    """Return tasks by their keys."""
    found = TASKS.records(using, model, tasks=list(pks)) if pks else []
    return {task.pk: task for task in found}


def lock_exclusive_tasks(
    using: str, model: "type[Task]", pks: Collection[int]
) -> "dict[int, Task]":
    """Lock those tasks whose runs may not overlap and that nobody else has locked."""
    found = LOCK_EXCLUSIVE_TASKS.records(using, model, tasks=list(pks)) if pks else []
    return {task.pk: task for task in found}


def live_runs(
    using: str,
    model: "type[Run]",
    tasks: Collection[int],
    queues: Sequence[str],
    engine: str,
    now: datetime,
    *,
    known: Collection[int],
    missing: Collection[str] = (),
    missing_since: datetime,
) -> "list[Run]":
    """Return the runs of some tasks that may be running, and those that a claim could start.

    Args:
        known: the keys of runs that are left out.
        missing, missing_since: as for `lock_first_ready`.
    """
    return LIVE_RUNS.records(
        using,
        model,
        tasks=list(tasks),
        known=list(known) or [0],
        queues=list(queues),
        engine=engine,
        now=now,
        missing=list(missing) or [""],
        missing_since=missing_since,
        limit=MAX_LIVE_RUNS,
    )


def write_started(
    using: str, runs: "Sequence[Run]", process: "Process", now: datetime, latest: datetime
) -> bool:
    """Start runs, which the caller has locked; return False if the process has lost its lease.

    Args:
        latest: when a lease ends at the latest that was taken by the clock as it is now.
    """
    pks = [run.pk for run in runs]
    values = {"process": process.pk, "worker": str(process), "now": now}
    if connections[using].vendor != "mysql":
        return START.change(using, runs=pks, **values, latest=latest) == len(pks)
    if not LOCK_LEASE.rows(using, process=process.pk, now=now, latest=latest):
        return False
    return START_LOCKED.change(using, runs=pks, **values) == len(pks)
