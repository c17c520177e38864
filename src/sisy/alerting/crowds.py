"""Count the runs that became ready at the same moment, and wait for slots together."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils.translation import gettext, ngettext

from sisy.models import QueuedRun

MAX_CROWDS = 10  # crowds that are counted, each by a statement
MAX_COUNTED = 10_000  # queued runs of a crowd
SECOND = timedelta(seconds=1)


class Crowd(NamedTuple):
    """The runs of a queue and a priority that became ready within the same second."""

    queue: str
    priority: int
    since: datetime

    @classmethod
    def at(cls, queue: str, priority: int, ready_at: datetime) -> "Crowd":
        return cls(queue, priority, ready_at.replace(microsecond=0))


def others_in(using: str, members: Iterable[Crowd]) -> Mapping[Crowd, int]:
    """Return how many further runs are queued in each crowd that has some.

    Args:
        members: the crowd of each run that is known. Those of most runs are counted.
    """
    found = {}
    for crowd, _ in Counter(members).most_common(MAX_CROWDS):
        queued = QueuedRun.objects.using(using).filter(
            engine="", queue=crowd.queue, priority=crowd.priority
        )
        # A range at the end of the index of claims, so that nothing else of the queue is read.
        alike = queued.filter(ready_at__gte=crowd.since, ready_at__lt=crowd.since + SECOND)
        number = alike.order_by()[:MAX_COUNTED].count()
        if number > 1:
            found[crowd] = number - 1
    return found


def crowd_in_words(others: int) -> str:
    """Return, as a sentence, how many other runs wait since the same moment."""
    words = ngettext(
        "%d other run was queued at the same time",
        "%d other runs were queued at the same time",
        others,
    )
    return words % others


def advice_for(others: int) -> str:
    """Return what to do if no slot is free."""
    if others:
        return gettext(
            "Spread their schedules with 'h' or the field 'spread', in code or in the admin, or "
            "start more workers."
        )
    return gettext("Start more workers, or see what keeps them busy: 'manage.py sisy_status'.")
