"""Begins runs in the ledger, under a lease that holds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from sisy.exceptions import LeaseLost
from sisy.models import Process, Run, RunState
from sisy.models.fields import adapted
from sisy.models.prepared import among, prepared
from sisy.models.process import LONGEST_LEASE


def start(using: str, runs: Sequence[Run], process: Process, now: datetime) -> None:
    """Let ``runs``, which the caller has locked, begin under the lease of ``process``.

    That is kept on the books until the transaction ends, and its lease from being taken for
    expired: nobody would rescue the runs of one that is not on the books, and a heartbeat would at
    once take those of one whose lease has run out, as that of a host that slept.

    Raises:
        LeaseLost: the lease does not hold at ``now``; nothing that was written may stand.
    """
    if not runs:
        return
    start_if_held = _lock_and_start if connections[using].vendor == "mysql" else _start_by_one
    if not start_if_held(using, runs, process, now):
        raise LeaseLost(f"{process} has lost its lease.")
    for run in runs:
        run.state, run.process, run.started_at = RunState.RUNNING, process, now
        run.attempt += 1


def _start_by_one(using: str, runs: Sequence[Run], process: Process, now: datetime) -> bool:
    """Start runs if the lease holds, by one statement; SQLite needs no lock, since it has one."""
    connection = connections[using]
    lock = "FOR UPDATE" if connection.features.has_select_for_update else ""
    is_held = (
        f"EXISTS (SELECT 1 FROM {connection.ops.quote_name(Process._meta.db_table)} "
        f"WHERE id = %s AND lease_until BETWEEN %s AND %s {lock})"
    )
    moments = [adapted(using, each) for each in (now, now + LONGEST_LEASE)]
    return _update(using, runs, process, now, f"AND {is_held}", [process.pk, *moments])


def _update(
    using: str,
    runs: Sequence[Run],
    process: Process,
    now: datetime,
    condition: str = "",
    params: Sequence[Any] = (),
) -> bool:
    """Write that runs begin; return whether that was so for all of them."""
    connection = connections[using]
    among_these, these = among([run.pk for run in runs], connection)
    statement = (
        f"UPDATE {connection.ops.quote_name(Run._meta.db_table)} "
        "SET state = %s, process_id = %s, worker_name = %s, "
        "attempt = attempt + 1, started_at = %s "
        f"WHERE id {among_these} {condition}"
    )
    own = [RunState.RUNNING.value, process.pk, str(process), adapted(using, now)]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*own, *these, *params])
        return bool(cursor.rowcount == len(runs))


def _lock_and_start(using: str, runs: Sequence[Run], process: Process, now: datetime) -> bool:
    query = prepared(_kept, using, pk=int, now=datetime, latest=datetime)
    if not query.rows(pk=process.pk, now=now, latest=now + LONGEST_LEASE):
        return False
    return _update(using, runs, process, now)


def _kept(pk: int, now: datetime, latest: datetime) -> QuerySet[Process, tuple[int]]:
    kept = Process.objects.filter(pk=pk).leased_until(now, latest)
    return kept.select_for_update().values_list("pk")
