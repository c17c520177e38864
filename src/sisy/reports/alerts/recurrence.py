"""The next time at which the tasks of a past delay are due together, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext

from sisy import conf
from sisy.models import Task
from sisy.reports.load import NO_TIME
from sisy.reports.spreading import MAX_TASKS_READ, can_be_spread
from sisy.runtime.durations import in_zone

MAX_DUE_COUNTED = 10_000  # tasks that are due together again

NOT_TOGETHER = gettext_lazy("The next runs of these tasks start at different times.")
"""The words for tasks that are due again, but not together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """Tasks of a queue that start at the same moment again.

    Attributes:
        number: how many they are, without those with a spread; at most `MAX_DUE_COUNTED`.
        slots: how many of them the workers of the queue can start at once.
        is_spreadable: whether a new schedule or a spread would let some start at another moment.
    """

    at: datetime
    number: int
    slots: int
    is_spreadable: bool

    @classmethod
    def of(cls, using: str, queue: str, at: datetime, slots: Mapping[str, int]) -> "Recurrence":
        """Find the tasks of a queue that are due at a moment.

        Args:
            slots: the number of slots, by queue.
        """
        engines = conf.get_settings().native_engines
        active = Task.objects.using(using).active().filter(next_run=at, queue=queue)
        # The runs of tasks with a spread start at different moments already.
        due = active.filter(spread=NO_TIME, engine__in=engines).order_by()
        number, of_queue = due[:MAX_DUE_COUNTED].count(), slots.get(queue, 0)
        some = due[:MAX_TASKS_READ] if number > max(1, of_queue) else ()
        return cls(
            at=at,
            number=number,
            slots=of_queue,
            is_spreadable=any(can_be_spread(task) for task in some),
        )

    @property
    def is_too_much(self) -> bool:
        """Return whether there are more of them than the workers can start at once."""
        return self.number > self.slots

    def __str__(self) -> str:
        named = {
            "number": self.number,
            "again": in_zone(self.at, timezone.get_current_timezone()),
        }
        if not self.number:
            return str(NOT_TOGETHER)
        words = ngettext(
            "At %(again)s, %(number)d task of this queue is due again.",
            "At %(again)s, %(number)d tasks of this queue are due together again.",
            self.number,
        )
        return f"{words % named} {self._advice}"

    @property
    def _advice(self) -> str:
        if not self.is_too_much:
            return ngettext(
                "The workers of the queue can start it at once.",
                "The workers of the queue can start them all at once.",
                self.number,
            )
        if self.is_spreadable:
            return gettext(
                "To avoid another delay, spread their schedules with 'h' or the field 'spread', "
                "or start more workers."
            )
        return gettext("To avoid another delay, start more workers.")
