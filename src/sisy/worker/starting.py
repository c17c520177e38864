"""Starts runs in the ledger, under a lease that has not expired."""

from collections.abc import Sequence
from datetime import datetime

from sisy.exceptions import LeaseLost
from sisy.models import Process, Run, RunState
from sisy.models.process import LONGEST_LEASE
from sisy.store.claims import write_started


def start(using: str, runs: Sequence[Run], process: Process, now: datetime) -> None:
    """Start ``runs``, which the caller has locked, under the lease of ``process``.

    Raises:
        LeaseLost: the lease has expired at ``now``. Roll the transaction back.
    """
    if not runs:
        return
    if not write_started(using, runs, process, now, now + LONGEST_LEASE):
        raise LeaseLost(f"{process} has lost its lease.")
    for run in runs:
        run.state, run.process, run.started_at = RunState.RUNNING, process, now
        run.attempt += 1
