"""The statements with which a worker claims runs.

A claim is one transaction. It locks the first ready runs of each queue (`LOCK_FIRST_READY`), reads
their tasks, and locks the tasks whose runs may not overlap (`LOCK_EXCLUSIVE_TASKS`). For these it
reads which other runs are queued or running (`LIVE_RUNS`). Then `starts` starts the runs that may
start. On PostgreSQL, it starts most of them in the statement that locks them. ``SKIP LOCKED``
passes over what another worker decides on at the same time, so that no worker waits for another.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connections

from sisy import conf
from sisy.records.instances import M
from sisy.schedules.calendar import TICK
from sisy.store.levels import Level
from sisy.store.statements import Statement

DEFERRED = frozenset({"reason", "error", "result", "cancel_reason"})
"""Columns of a claimed run that describe earlier attempts, and may be long."""

MAX_LIVE_RUNS = 2000

PAUSED_QUEUES = Statement("SELECT name FROM sisy_queue WHERE paused_at IS NOT NULL")

# The columns of the conditions and of the order are those of the index sisy_queued_claim, with one
# value of all but the last two. So the database reads as many entries as it returns rows, and none
# of those that were deleted before the position. MariaDB finds the position only by the BETWEEN.
FIRST_BY = """
    SELECT {{columns}} FROM sisy_queued_run entry {{join_in_order}} sisy_run
    ON sisy_run.id = entry.run_id
    WHERE entry.engine = %(engine)s AND entry.queue = %(queue)s
        AND entry.priority = %(priority)s
        AND (entry.ready_at, entry.run_id) >= (%(since)s, %(since_run)s)
        AND entry.ready_at BETWEEN %(since)s AND %({moment})s
        AND NOT ({{is_paused}})
"""
FIRST_READY = FIRST_BY.format(moment="now")
OF_OTHERS = """
        AND entry.task_id {not_in_blocked}
        AND NOT (
            sisy_run.target_path {in_missing}
            AND (
                sisy_run.unresolved_since IS NULL
                OR sisy_run.unresolved_since > %(missing_since)s
            )
        )
"""
LOCKED_IN_ORDER = """
    ORDER BY entry.ready_at, entry.run_id
    LIMIT %(limit)s
    {skip_locked}
"""

# Most claims leave out nothing, and then the shorter statement takes a fifth less time.
LOCK_FIRST_READY = Statement(FIRST_READY + LOCKED_IN_ORDER)
LOCK_FIRST_READY_OF_OTHERS = Statement(FIRST_READY + OF_OTHERS + LOCKED_IN_ORDER)

# Before its moment, a run may start only if it needs no decision: it was never
# started or released, and no user has asked it to stop.
NOT_TRIED = """
        AND sisy_run.attempt = 0 AND sisy_run.started_at IS NULL
        AND sisy_run.unresolved_since IS NULL AND sisy_run.cancel_requested_at IS NULL
        AND NOT (sisy_run.target_path {in_missing}) AND entry.task_id {not_in_blocked}
"""
LOCK_FIRST_EARLY = Statement(FIRST_BY.format(moment="until") + NOT_TRIED + LOCKED_IN_ORDER)

TASKS = Statement("SELECT {columns} FROM sisy_task WHERE id {in_tasks}")

# Always in the order of their keys, so that no two transactions wait for each other.
LOCK_EXCLUSIVE_TASKS = Statement("""
    SELECT {columns} FROM sisy_task
    WHERE id {in_tasks} AND overlap <> 'allow'
    ORDER BY id
    {skip_locked}
""")

# A queued run that has started and is not ready was handed over by a worker that stops. Its
# function may still run until it is ready. The limit applies only to the runs that a claim could
# start: each run that may be running counts.
LIVE_RUNS = Statement("""
    SELECT {columns} FROM {running_of_tasks}
    JOIN sisy_run ON sisy_run.id = entry.run_id
    WHERE entry.task_id {in_tasks} AND entry.run_id {not_in_known}
    UNION ALL
    SELECT {columns} FROM {queued_of_tasks}
    JOIN sisy_run ON sisy_run.id = entry.run_id
    WHERE entry.task_id {in_tasks} AND entry.run_id {not_in_known}
        AND entry.ready_at > %(now)s AND sisy_run.started_at IS NOT NULL
    UNION ALL
    SELECT * FROM (
        SELECT {columns} FROM sisy_queued_run entry
        JOIN sisy_run ON sisy_run.id = entry.run_id
        WHERE entry.task_id {in_tasks} AND entry.run_id {not_in_known}
            AND entry.ready_at <= %(now)s AND sisy_run.cancel_requested_at IS NULL
            AND entry.queue {in_queues} AND entry.engine = %(engine)s
            AND NOT EXISTS (
                SELECT 1 FROM sisy_queue
                WHERE name = entry.queue AND paused_at IS NOT NULL
            )
            AND NOT (
                sisy_run.target_path {in_missing}
                AND (
                    sisy_run.unresolved_since IS NULL
                    OR sisy_run.unresolved_since > %(missing_since)s
                )
            )
        ORDER BY entry.ready_at, entry.run_id
        LIMIT %(limit)s
    ) AS ready
""")

LIVE_TASKS = Statement("""
    SELECT entry.task_id FROM {running_of_tasks} WHERE entry.task_id {in_tasks}
    UNION
    SELECT entry.task_id FROM {queued_of_tasks}
    WHERE entry.task_id {in_tasks} AND (
        entry.ready_at <= %(now)s OR EXISTS (
            SELECT 1 FROM sisy_run
            WHERE sisy_run.id = entry.run_id AND sisy_run.started_at IS NOT NULL
        )
    )
""")


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


def open_queues(using: str, queues: Sequence[str]) -> list[str]:
    """Return the queues that are not paused."""
    paused = {name for (name,) in PAUSED_QUEUES.rows(using)}
    return [queue for queue in queues if queue not in paused]


def passes_over_paused_queues(using: str) -> bool:
    """Return whether the statements that lock the first runs leave out those of paused queues."""
    return connections[using].vendor == "postgresql"


def claimable_queues(using: str, queues: Sequence[str]) -> Sequence[str]:
    """Return the queues whose first runs a claim may lock, by one of the statements here."""
    return queues if passes_over_paused_queues(using) else open_queues(using, queues)


def lock_first_ready(
    scope: ClaimScope, model: type[M], level: Level, limit: int, blocked: Collection[int] = ()
) -> list[M]:
    """Lock the first ready runs of a level, and return them in their order.

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
        **asdict(level),
        limit=limit,
        blocked=list(blocked),
    )


def lock_first_early(
    scope: ClaimScope,
    model: type[M],
    level: Level,
    limit: int,
    *,
    until: datetime,
    blocked: Collection[int],
) -> list[M]:
    """Lock the first runs of a level that become ready by ``until`` and may start before that.

    Args:
        blocked: the keys of tasks whose runs are left out.
    """
    return LOCK_FIRST_EARLY.records(
        scope.using,
        model,
        defer=DEFERRED,
        **scope.values(),
        **asdict(replace(level, since=scope.now + TICK, since_run=0)),
        until=until,
        limit=limit,
        blocked=list(blocked),
    )


def live_tasks(using: str, tasks: Collection[int], now: datetime) -> set[int]:
    """Return those of some tasks that have a ready run, or one that may be running."""
    found = LIVE_TASKS.rows(using, tasks=list(tasks), now=now) if tasks else []
    return {task for (task,) in found}


def read_tasks(using: str, model: type[M], pks: Collection[int]) -> dict[int, M]:
    """Return tasks by their keys."""
    found = TASKS.records(using, model, tasks=list(pks)) if pks else []
    return {task.pk: task for task in found}


def lock_exclusive_tasks(using: str, model: type[M], pks: Collection[int]) -> dict[int, M]:
    """Lock those tasks whose runs may not overlap and that no other transaction has locked."""
    found = LOCK_EXCLUSIVE_TASKS.records(using, model, tasks=list(pks)) if pks else []
    return {task.pk: task for task in found}


def live_runs(
    scope: ClaimScope, model: type[M], tasks: Collection[int], known: Collection[int] = ()
) -> list[M]:
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
