"""Stores runs that somebody asked for, and has workers told of them."""

from collections.abc import Sequence
from functools import partial

from django.db import transaction

from sisy import signals
from sisy.models.inserting import insert_runs
from sisy.models.run import Run


def submit(runs: Sequence[Run], using: str) -> list[Run]:
    """Store ``runs`` and return them; workers hear of them once that is committed."""
    with transaction.atomic(using=using, savepoint=False):
        stored = insert_runs(using, runs)
        if stored:
            announce(stored, using)
    return stored


def announce(runs: list[Run], using: str) -> None:
    """Have workers told that ``runs`` wait, once that is committed."""
    Run.tell(signals.run_planned, runs, using)
    tell = partial(signals.runs_waiting.send_robust, sender=Run, runs=runs)
    transaction.on_commit(tell, using=using, robust=True)
