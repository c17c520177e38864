"""Fail queued runs that no worker can ever execute."""

from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.db import transaction
from django.db.models import Value

from sisy import signals
from sisy.lifecycle.transition import Transition, send, send_for_rows
from sisy.records.choices import RunState
from sisy.records.fields import MomentField
from sisy.records.run import R
from sisy.store.run_queries import RunRows, all_runs


def reject_unknown_engines(runs: RunRows[R], now: datetime) -> list[R]:
    """Fail queued runs whose engines are not configured, and return them."""
    engine = attrgetter("engine")
    with transaction.atomic(using=runs.db):
        rejected = sorted(
            all_runs(runs).select_related("task").filter(pk__in=runs.lock()), key=engine
        )
        for name, group in groupby(rejected, key=engine):
            these = list(group)
            reason = f"SISY_ENGINES has no engine {name!r}."
            failed = Transition({"state": RunState.FAILED, "finished_at": now, "reason": reason})
            failed.write(all_runs(runs).filter(pk__in=[run.pk for run in these]))
            failed.note(these)
        send(signals.run_rejected, rejected, runs.db)
    return rejected


def reject_unreadable(runs: RunRows[Any], reason: str, now: datetime) -> None:
    """Fail those of ``runs`` that are queued, and replace their unreadable ``ready_at``."""
    moment = Value(now, MomentField())
    columns = {"ready_at": moment, "finished_at": moment, "reason": reason}
    with transaction.atomic(using=runs.db):
        if Transition({"state": RunState.FAILED, **columns}).write(runs.queued()):
            send_for_rows(signals.run_rejected, runs)
