"""Stores runs that somebody asked for, and has workers told of them."""

from collections.abc import Sequence
from functools import partial

from django.db import transaction
from django.utils.module_loading import import_string

from sisy import conf, signals
from sisy.lifecycle.transition import send
from sisy.models.inserting import insert_runs
from sisy.models.run import Run


def submit(runs: Sequence[Run], using: str) -> list[Run]:
    """Store ``runs`` and return them; workers hear of them once that is committed.

    Under ``SISY_EAGER``, they are returned as they ended: see `carry_out_if_eager`.
    """
    stored = store(runs, using)
    carry_out_if_eager(stored, using)
    return stored


def store(runs: Sequence[Run], using: str) -> list[Run]:
    """Store ``runs`` as a part of a larger transaction; follow it by `carry_out_if_eager`."""
    stored = insert_runs(using, runs)
    if stored:
        announce(stored, using)
    return stored


def announce(runs: list[Run], using: str) -> None:
    """Have workers told that ``runs`` are queued, once that is committed."""
    send(signals.run_planned, runs, using)
    if conf.get_settings().eager:
        return
    ring_once_committed(runs, using)


def ring_once_committed(runs: list[Run], using: str) -> None:
    """Have workers told that ``runs`` are queued, once that is committed."""
    if runs:
        tell = partial(signals.runs_queued.send_robust, sender=Run, runs=runs)
        transaction.on_commit(tell, using=using, robust=True)


def carry_out_if_eager(runs: Sequence[Run], using: str) -> None:
    """Carry out here what may begin now, if ``SISY_EAGER`` is on, and update ``runs``.

    Call it outside of the transaction that has stored them: a worker would begin after that, too.
    """
    if conf.get_settings().eager and runs:
        import_string("sisy.testing.eager.carry_out")(runs, using)
