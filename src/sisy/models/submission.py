"""Stores runs that somebody asked for, and has workers told of them."""

from collections.abc import Sequence
from functools import partial

from django.db import connections, transaction

from sisy import signals
from sisy.models.run import Run


def submit(runs: Sequence[Run], using: str) -> list[Run]:
    """Store ``runs`` and return them; workers hear of them once that is committed."""
    with transaction.atomic(using=using, savepoint=False):
        if connections[using].features.can_return_rows_from_bulk_insert:
            stored = Run.objects.using(using).bulk_create(runs)
        else:
            stored = list(runs)
            for run in stored:
                run.save(using=using)
        announce = partial(signals.runs_waiting.send_robust, sender=Run, runs=stored)
        if stored:
            transaction.on_commit(announce, using=using, robust=True)
    return stored
