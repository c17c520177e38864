"""The paused queues of tasks or runs, and what a pause means for them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, tzinfo

from django.utils.translation import gettext

from sisy.alerting.capacity import pause_in_words
from sisy.models import Queue

MAX_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A queue that is paused.

    Attributes:
        words: who paused it, since when, until when and why, as a sentence.
        until: when it resumes; None if a person must resume it.
    """

    queue: str
    words: str
    until: datetime | None

    def holds(self, due: datetime | None) -> bool:
        """Return whether a run that is due at a moment stays queued then."""
        return due is not None and (self.until is None or due < self.until)


def pauses_of(using: str, queues: Collection[str] | None, zone: tzinfo) -> list[Pause]:
    """Return the pauses of queues, at most `MAX_SHOWN`.

    Args:
        queues: their names; None means all.
    """
    paused = Queue.objects.using(using).paused()
    if queues is not None:
        paused = paused.filter(name__in=queues)
    return [
        Pause(queue=queue.name, words=_sentence(queue, zone), until=queue.paused_until)
        for queue in paused.order_by("name")[:MAX_SHOWN]
    ]


def _sentence(queue: Queue, zone: tzinfo) -> str:
    words = pause_in_words(queue, zone)
    return gettext("%s. Its runs stay queued.") % f"{words[:1].upper()}{words[1:]}"
