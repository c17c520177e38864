"""Execute submitted runs immediately, if ``SISY_EAGER`` is on."""

from collections.abc import Iterable
from functools import partial

from sisy import clock, conf
from sisy.execution.inline import execute_inline
from sisy.models import Process, Role, Run
from sisy.records.outcome import Outcome
from sisy.worker.claim import claim_one
from sisy.worker.record import record


def execute_eagerly(runs: Iterable[Run], using: str) -> None:
    """Execute those of ``runs`` that may start now, in this thread, and update them.

    An exception of a function becomes the outcome of its run, as in a worker. Runs that are ready
    later, such as retries, stay queued.

    Raises:
        KeyboardInterrupt: a function raised it; its run is recorded as failed.
    """
    lease = conf.get_settings().lease
    process = Process.join(Role.ENGINE, using=using, now=clock.now(using), lease=lease, slots=1)
    try:
        for run in runs:
            now = clock.now(using)
            claimed = claim_one(process, run.pk, now)
            if claimed is not None:
                execute_inline(claimed, now, partial(_record, using, claimed))
                run.refresh_from_db(using=using)
    finally:
        process.leave()


def _record(using: str, run: Run, outcome: Outcome) -> None:
    record(using, [(run, outcome)], clock.now(using))
