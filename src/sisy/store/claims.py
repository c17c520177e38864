"""The statements by which a worker claims runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connections

from sisy.store.statements import Statement

if TYPE_CHECKING:
    from sisy.models import Process, Run

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
