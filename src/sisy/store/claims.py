"""The statements with which a worker claims runs.

A claim is one transaction. It locks the first ready runs of each queue (`LOCK_FIRST_READY`), reads
their tasks, and locks the tasks whose runs may not overlap (`LOCK_EXCLUSIVE_TASKS`). For these it
reads which other runs are queued or running (`LIVE_RUNS`). Then it starts the runs that may start
(`START`). ``SKIP LOCKED`` passes over what another worker decides on at the same time, so that no
worker waits for another one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connections

from sisy import conf
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
FIRST_READY = """
    SELECT {columns} FROM sisy_run
    WHERE state = 'queued' AND engine = %(engine)s AND queue = %(queue)s AND ready_at <= %(now)s
"""
OF_OTHERS = """
        AND (task_id IS NULL OR task_id {not_in_blocked})
        AND NOT (
            target_path {in_missing}
            AND (unresolved_since IS NULL OR unresolved_since > %(missing_since)s)
        )
"""
LOCKED_IN_ORDER = """
    ORDER BY priority DESC, ready_at, id
    LIMIT %(limit)s
    {skip_locked}
"""

# Most claims leave out nothing, and then the shorter statement takes a fifth less time.
LOCK_FIRST_READY = Statement(FIRST_READY + LOCKED_IN_ORDER)
LOCK_FIRST_READY_OF_OTHERS = Statement(FIRST_READY + OF_OTHERS + LOCKED_IN_ORDER)

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

LEASE_HOLDS = """
    SELECT 1 FROM sisy_process
    WHERE id = %(process)s AND ended_at IS NULL
        AND lease_until BETWEEN %(now)s AND %(latest)s
    {for_update}
"""
SET_RUNNING = """
    UPDATE sisy_run
    SET state = 'running', process_id = %(process)s, attempt = attempt + 1, started_at = %(now)s
    WHERE id {in_runs}
"""

# The subquery starts the runs only under a lease that has not expired, and locks the process's row
# until the transaction ends: no heartbeat may declare the process dead meanwhile, and rescue runs
# that it cannot see yet.
START = Statement(f"{SET_RUNNING} AND EXISTS ({LEASE_HOLDS})")

# MariaDB locks the row of the process first.
LOCK_LEASE = Statement(LEASE_HOLDS)
START_LOCKED = Statement(SET_RUNNING)


@dataclass(frozen=True, slots=True)
class ClaimScope:
    """The queued runs that a worker may claim.

    Attributes:
        missing: the dotted paths of functions that the worker cannot find.
    """

    using: str
    queues: Sequence[str]
    engine: str
    now: datetime
    missing: Collection[str] = ()

    def values(self) -> dict[str, Any]:
        """Return the values that the statements have in common."""
        return {
            "engine": self.engine,
            "now": self.now,
            # The runs of missing functions are left to other workers, unless no worker has found
            # the function for so long that the run must fail.
            "missing": list(self.missing),
            "missing_since": self.now - conf.get_settings().missing_code,
        }


def paused_queues(using: str) -> set[str]:
    """Return the names of the queues that are paused."""
    return {name for (name,) in PAUSED_QUEUES.rows(using)}


def any_ready(using: str, queues: Sequence[str], now: datetime) -> bool:
    """Return whether a run of these queues is ready for Sisy's own workers."""
    return bool(ANY_READY.rows(using, queues=list(queues), now=now))


def lock_first_ready(
    scope: ClaimScope, model: "type[Run]", queue: str, limit: int, blocked: Collection[int] = ()
) -> "list[Run]":
    """Lock the first ready runs of a queue, and return them in their order.

    Args:
        blocked: the keys of tasks whose runs are left out.
    """
    leaves_out = blocked or scope.missing
    statement = LOCK_FIRST_READY_OF_OTHERS if leaves_out else LOCK_FIRST_READY
    return statement.records(
        scope.using,
        model,
        defer=DEFERRED,
        **scope.values(),
        queue=queue,
        limit=limit,
        blocked=list(blocked),
    )


def read_tasks(using: str, model: "type[Task]", pks: Collection[int]) -> "dict[int, Task]":
    """Return tasks by their keys."""
    found = TASKS.records(using, model, tasks=list(pks)) if pks else []
    return {task.pk: task for task in found}


def lock_exclusive_tasks(
    using: str, model: "type[Task]", pks: Collection[int]
) -> "dict[int, Task]":
    """Lock those tasks whose runs may not overlap and that no other transaction has locked."""
    found = LOCK_EXCLUSIVE_TASKS.records(using, model, tasks=list(pks)) if pks else []
    return {task.pk: task for task in found}


def live_runs(
    scope: ClaimScope, model: "type[Run]", tasks: Collection[int], known: Collection[int] = ()
) -> "list[Run]":
    """Return the runs of some tasks that may be running, and those that a claim could start.

    Args:
        known: the keys of runs that are left out.
    """
    return LIVE_RUNS.records(
        scope.using,
        model,
        **scope.values(),
        queues=list(scope.queues),
        tasks=list(tasks),
        known=list(known),
        limit=MAX_LIVE_RUNS,
    )


def write_started(
    using: str, runs: "Sequence[Run]", process: "Process", now: datetime, latest: datetime
) -> bool:
    """Start runs, which the caller has locked; return False if the process has lost its lease.

    Args:
        latest: a lease that ends later was taken before the clock was set back, and has no force.
    """
    pks = [run.pk for run in runs]
    values = {"process": process.pk, "now": now}
    if connections[using].vendor != "mysql":
        return START.change(using, runs=pks, **values, latest=latest) == len(pks)
    if not LOCK_LEASE.rows(using, process=process.pk, now=now, latest=latest):
        return False
    return START_LOCKED.change(using, runs=pks, **values) == len(pks)
