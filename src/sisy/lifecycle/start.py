"""Start queued runs for a worker, under a lease that has not expired."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Model

from sisy import signals
from sisy.exceptions import LeaseLost
from sisy.lifecycle.transition import Transition, send
from sisy.records.choices import RunState
from sisy.records.instances import copied, refer
from sisy.records.run import RunRecord
from sisy.runtime import tracer
from sisy.store.starts import write_started


def start(
    using: str, runs: Sequence[RunRecord], process: Model, now: datetime, latest: datetime
) -> None:
    """Start ``runs``, which the caller has locked, under the lease of ``process``.

    Args:
        latest: the latest moment at which a lease taken by the current clock can end.

    Raises:
        LeaseLost: the lease has expired at ``now``. Roll the transaction back.
    """
    if not runs:
        return
    if not write_started(using, [run.id for run in runs], process.pk, now, latest):
        raise LeaseLost(f"{process} has lost its lease.")
    note_started(using, runs, process, now)


def note_started(using: str, runs: Sequence[RunRecord], process: Model, now: datetime) -> None:
    """Note on objects that their runs have started, and send the signal when it is committed.

    For runs that `sisy.store.starts` has started. Their tasks must be set.
    """
    Transition({"state": RunState.RUNNING}, add={"attempt": 1}).note(runs)
    for run in runs:
        run.started_at = max(now, run.ready_at)
        refer(run, "process", process)
    # Copies, as the runs are now: receivers are called later, when the originals may have changed.
    sent = [copied(run) for run in runs] if signals.run_started.receivers else runs
    send(signals.run_started, sent, using)
    if tracer.installed is not None:
        # After the commit, so that an error of this query does not roll back the claim.
        read = partial(tracer.installed.started, using, runs)
        transaction.on_commit(read, using=using, robust=True)
