"""Fail queued runs whose rows cannot be read, so that they do not stop the claims of others."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import QuerySet
from django.utils.translation import ngettext

from sisy.lifecycle.reject import reject_unreadable
from sisy.lifecycle.transition import readable
from sisy.models import QueuedRun, Run
from sisy.runtime.log import logger

FIRST_RUNS = 1000  # to try to read after a claim has failed


def reject_unreadable_in(using: str, queues: Sequence[str], now: datetime) -> int:
    """Fail those of the first ready runs of queues that cannot be read, and return how many."""
    entries = QueuedRun.objects.using(using).filter(engine="", queue__in=queues)
    return reject_unreadable_of(entries.filter(ready_at__lte=now), now)


def reject_unreadable_of(entries: QuerySet[QueuedRun], now: datetime) -> int:
    """Fail those of the first runs of entries that cannot be read, and return how many."""
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
