"""The statements that start runs for a worker, under a lease that has not expired."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import connections

from sisy.records.instances import M
from sisy.store import entries
from sisy.store.claims import DEFERRED, FIRST_READY, LOCKED_IN_ORDER, ClaimScope
from sisy.store.levels import Level
from sisy.store.statements import Other, Statement

LEASE_HOLDS = """
    SELECT 1 FROM sisy_process
    WHERE id = %(process)s AND ended_at IS NULL
        AND lease_until BETWEEN %(now)s AND %(latest)s
    {for_update}
"""
# A run that starts ahead of its moment has not begun before it.
SET_RUNNING = """
    UPDATE sisy_run
    SET state = 'running', process_id = %(process)s, attempt = sisy_run.attempt + 1,
        started_at = CASE
            WHEN sisy_run.ready_at > %(now)s THEN sisy_run.ready_at ELSE %(now)s
        END
"""
SET_THESE_RUNNING = f"{SET_RUNNING} WHERE id {{in_runs}}"

# The subquery starts the runs only under a lease that has not expired, and locks the process's row
# until the transaction ends: until then, no heartbeat may declare the process dead and rescue runs
# that it cannot see yet.
SET_RUNNING_UNDER_LEASE = f"{SET_THESE_RUNNING} AND EXISTS ({LEASE_HOLDS})"
START = Statement(SET_RUNNING_UNDER_LEASE)

# PostgreSQL moves the entries in the same statement.
MOVE_ENTRIES = f"""
    dequeued AS ({entries.deletion_of("sisy_queued_run", "started")}),
    held AS (
        INSERT INTO sisy_running_run (task_id, run_id, process_id)
        SELECT task_id, id, %(process)s FROM started
    )
"""
START_WITH_ENTRIES = Statement(f"""
    WITH started AS ({SET_RUNNING_UNDER_LEASE} RETURNING id, task_id), {MOVE_ENTRIES}
    SELECT id FROM started
""")

# And it starts the first ready runs in the statement that locks them, if they need no decision:
# their task allows overlap, and no user has asked them to stop. Their tasks come with them, which
# saves a statement. PostgreSQL expects a single run, and may compare each run with each other one:
# see `MAX_STARTED_AT_ONCE`.
START_FIRST_READY = Statement(f"""
    WITH first AS MATERIALIZED ({FIRST_READY} {LOCKED_IN_ORDER}),
    started AS (
        {SET_RUNNING}
        FROM first JOIN sisy_task ON sisy_task.id = first.task_id
        WHERE sisy_run.id = first.id AND sisy_run.cancel_requested_at IS NULL
            AND sisy_task.overlap = 'allow' AND EXISTS ({LEASE_HOLDS})
        RETURNING sisy_run.id, sisy_run.task_id
    ), {MOVE_ENTRIES}
    SELECT first.*, {{other_columns}}, first.id IN (SELECT id FROM started)
    FROM first LEFT JOIN sisy_task ON sisy_task.id = first.task_id
""")

MAX_STARTED_AT_ONCE = 50
"""The maximum number of runs that `start_first_ready` locks."""

# MariaDB locks the row of the process first.
LOCK_LEASE = Statement(LEASE_HOLDS)
START_LOCKED = Statement(SET_THESE_RUNNING)


def write_started(
    using: str, runs: list[int], process: int, now: datetime, latest: datetime
) -> bool:
    """Start runs, which the caller has locked; return False if the process has lost its lease.

    Args:
        latest: a lease that ends later was taken before the clock was set back, and does not
            count.
    """
    values = {"process": process, "now": now}
    vendor = connections[using].vendor
    if vendor == "postgresql":
        started = START_WITH_ENTRIES.rows(using, runs=runs, **values, latest=latest)
        return len(started) == len(runs)
    if vendor == "mysql":
        if not LOCK_LEASE.rows(using, process=process, now=now, latest=latest):
            return False
        count = START_LOCKED.change(using, runs=runs, **values)
    else:
        count = START.change(using, runs=runs, **values, latest=latest)
    entries.start(using, runs)
    return count == len(runs)


def has_start_first_ready(scope: ClaimScope) -> bool:
    """Return whether `start_first_ready` may start the runs of a claim.

    With one queue, the runs that it locks first are the first in turn.
    """
    return len(scope.queues) == 1 and connections[scope.using].vendor == "postgresql"


def start_first_ready(
    scope: ClaimScope,
    model: type[M],
    task_model: type[Other],
    level: Level,
    limit: int,
    process: int,
    latest: datetime,
) -> tuple[list[M], dict[Any, Other], set[int]]:
    """Lock the first ready runs of a level on PostgreSQL, and start those that may overlap.

    Returns the locked runs in any order, as they were before, their tasks by key, and the keys of
    the runs that have started. If the process has lost its lease, none has.

    Args:
        limit: how many, at most `MAX_STARTED_AT_ONCE`.
        latest: as for `write_started`.
    """
    locked, tasks, are_started = START_FIRST_READY.records_with_others(
        scope.using,
        model,
        task_model,
        defer=DEFERRED,
        **scope.values(),
        **asdict(level),
        limit=limit,
        process=process,
        latest=latest,
    )
    found = zip(locked, are_started, strict=True)
    return locked, tasks, {run.pk for run, (is_started,) in found if is_started}
