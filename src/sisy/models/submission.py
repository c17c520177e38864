"""Stores runs that somebody asked for, and has workers told of them."""

from collections.abc import Sequence
from functools import partial

from django.db import transaction
from django.utils.module_loading import import_string

from sisy import conf, signals
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
    """Have workers told that ``runs`` wait, once that is committed.

    Where ``SISY_EAGER`` is on, no worker is needed: they are carried out here and now.
    """
    Run.tell(signals.run_planned, runs, using)
    if conf.get_settings().eager:
        carry_out = import_string("sisy.testing.eager.carry_out")
        carry_out(runs, using)
        return
    tell = partial(signals.runs_waiting.send_robust, sender=Run, runs=runs)
    transaction.on_commit(tell, using=using, robust=True)
