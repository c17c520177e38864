"""Begins runs in the ledger, under a lease that holds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import F, QuerySet

from sisy.exceptions import LeaseLost
from sisy.models import Process, Run, RunState
from sisy.models.fields import MomentField
from sisy.models.prepared import prepared
from sisy.models.process import LONGEST_LEASE

Moment = MomentField()


def start(using: str, runs: Sequence[Run], holder: Process, now: datetime) -> None:
    """Let ``runs``, which the caller has locked, begin under the lease of ``holder``.

    That is kept on the books until the transaction ends, and its lease from being taken for
    expired: nobody would rescue the runs of one that is not on the books, and a heartbeat would at
    once take those of one whose lease has run out, as that of a host that slept.

    Raises:
        LeaseLost: the lease does not hold at ``now``; nothing that was written may stand.
    """
    if not runs:
        return
    if connections[using].vendor == "postgresql":
        is_held = _start_by_one(using, runs, holder, now)
    else:
        is_held = _start_if_held(using, runs, holder, now)
    if not is_held:
        raise LeaseLost(f"{holder} has lost its lease.")
    for run in runs:
        run.state, run.holder, run.started_at = RunState.RUNNING, holder, now
        run.attempt += 1


def _start_by_one(using: str, runs: Sequence[Run], holder: Process, now: datetime) -> bool:
    connection = connections[using]
    quote = connection.ops.quote_name
    statement = (
        f"UPDATE {quote(Run._meta.db_table)} "
        "SET state = %s, holder_id = %s, worker = %s, attempt = attempt + 1, started_at = %s "
        "WHERE id = ANY(%s) AND EXISTS ("
        f"SELECT 1 FROM {quote(Process._meta.db_table)} "
        "WHERE id = %s AND lease_until BETWEEN %s AND %s FOR UPDATE)"
    )
    moment, latest = (_adapted(using, each) for each in (now, now + LONGEST_LEASE))
    own = [RunState.RUNNING.value, holder.pk, str(holder), moment, [run.pk for run in runs]]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*own, holder.pk, moment, latest])
        return bool(cursor.rowcount == len(runs))


def _adapted(using: str, moment: datetime) -> Any:
    return Moment.get_db_prep_value(moment, connections[using])


def _start_if_held(using: str, runs: Sequence[Run], holder: Process, now: datetime) -> bool:
    query = prepared(_kept, using, pk=int, now=datetime, latest=datetime)
    if not query.rows(pk=holder.pk, now=now, latest=now + LONGEST_LEASE):
        return False
    Run.objects.using(using).filter(pk__in=[run.pk for run in runs]).update(
        state=RunState.RUNNING,
        holder=holder,
        worker=str(holder),
        attempt=F("attempt") + 1,
        started_at=now,
    )
    return True


def _kept(pk: int, now: datetime, latest: datetime) -> QuerySet[Process, tuple[int]]:
    kept = Process.objects.filter(pk=pk).leased_until(now, latest)
    return kept.select_for_update().values_list("pk")
