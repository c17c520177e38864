"""The statements that start runs for a worker, under a lease that has not expired."""

from datetime import datetime

from django.db import connections

from sisy.store import entries
from sisy.store.statements import Statement

LEASE_HOLDS = """
    SELECT 1 FROM sisy_process
    WHERE id = %(process)s AND ended_at IS NULL
        AND lease_until BETWEEN %(now)s AND %(latest)s
    {for_update}
"""
# A run that starts ahead of its moment has not begun before it.
SET_RUNNING = """
    UPDATE sisy_run
    SET state = 'running', process_id = %(process)s, attempt = attempt + 1,
        started_at = CASE WHEN ready_at > %(now)s THEN ready_at ELSE %(now)s END
    WHERE id {in_runs}
"""

# The subquery starts the runs only under a lease that has not expired, and locks the process's row
# until the transaction ends: until then, no heartbeat may declare the process dead and rescue runs
# that it cannot see yet.
SET_RUNNING_UNDER_LEASE = f"{SET_RUNNING} AND EXISTS ({LEASE_HOLDS})"
START = Statement(SET_RUNNING_UNDER_LEASE)

# PostgreSQL moves the entries in the same statement.
START_WITH_ENTRIES = Statement(f"""
    WITH started AS ({SET_RUNNING_UNDER_LEASE} RETURNING id, task_id),
    dequeued AS (
        DELETE FROM sisy_queued_run entry USING started
        WHERE entry.task_id = started.task_id AND entry.run_id = started.id
    ),
    held AS (
        INSERT INTO sisy_running_run (task_id, run_id, process_id)
        SELECT task_id, id, %(process)s FROM started
    )
    SELECT id FROM started
""")

# MariaDB locks the row of the process first.
LOCK_LEASE = Statement(LEASE_HOLDS)
START_LOCKED = Statement(SET_RUNNING)


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
