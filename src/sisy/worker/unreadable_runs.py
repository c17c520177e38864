"""Fail queued runs whose rows cannot be read, so that they do not stop the claims of others."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from django.db.models import QuerySet
from django.utils.translation import ngettext

from sisy.lifecycle.reject import reject_unreadable
from sisy.lifecycle.transition import readable
from sisy.models import QueuedRun, Run
from sisy.runtime.log import logger
from sisy.store.isolation import past_bad_rows

FIRST_RUNS = 1000  # to try to read after a claim has failed

T = TypeVar("T")


def past_unreadable_runs(
    claim: Callable[[], T], using: str, queues: Sequence[str], now: datetime
) -> T:
    """Return the result of ``claim``. If it meets rows that cannot be read, fail them, and retry.

    Raises:
        Exception: ``claim`` fails for another reason.
    """

    def reject() -> int:
        entries = QueuedRun.objects.using(using).filter(engine="", queue__in=queues)
        return _reject(entries.filter(ready_at__lte=now), now)

    # The query is built only if it is needed: that takes a tenth as long as a claim.
    return past_bad_rows(claim, reject)


def past_unreadable_entries(
    claim: Callable[[], T], entries: QuerySet[QueuedRun], now: datetime
) -> T:
    """Do the same for a claim of the runs of some entries."""
    return past_bad_rows(claim, lambda: _reject(entries, now))


def _reject(entries: QuerySet[QueuedRun], now: datetime) -> int:
    """Fail those of the first runs that cannot be read, and return how many there are."""
    first = entries.order_by("-priority", "ready_at", "run_id").values_list("run_id", flat=True)
    runs = Run.objects.using(entries.db).filter(pk__in=list(first[:FIRST_RUNS]))
    found = set(runs.values_list("pk", flat=True))
    bad = sorted(found - {run.pk for run in readable(runs)})
    if bad:
        words = ngettext(
            "Cannot read the row of queued run %s; marked it as failed",
            "Cannot read the rows of queued runs %s; marked them as failed",
            len(bad),
        )
        logger.error(words, ", ".join(map(str, bad)))
        reason = "A timestamp in its row cannot be read. Correct the row and retry the run."
        reject_unreadable(runs.filter(pk__in=bad), reason, now)
    return len(bad)
