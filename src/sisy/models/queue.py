"""Pause and resume queues."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models, router
from django.utils.translation import gettext_lazy as _

from sisy import clock, signals
from sisy.records.fields import MomentField, ReasonField
from sisy.records.twins import manager_from, twin
from sisy.records.validators import future_moment
from sisy.runtime import signal_dispatch
from sisy.runtime.worker_options import queue_name

RESUMED: dict[str, Any] = {
    "paused_at": None,
    "paused_until": None,
    "pause_reason": "",
    "paused_by": "",
}


class QueueQuerySet(models.QuerySet["Queue"]):
    def paused(self) -> "QueueQuerySet":
        """Return the paused queues."""
        return self.exclude(paused_at=None)

    def pause(
        self, name: str, reason: str = "", by: str = "", until: datetime | None = None
    ) -> bool:
        """Pause a queue: workers start no more of its runs. Return False if it was already paused.

        Current runs continue, and due occurrences are still queued.

        Args:
            reason: shown to people who ask why runs are queued.
            by: the name of the person who paused it.
            until: when a heartbeat resumes it. By default, it stays paused until you
                resume it.

        Raises:
            ValueError: the name is not valid; ``until`` is naive where the project uses time
                zones, or has passed.
        """
        using = router.db_for_write(Queue)
        now = clock.now(using)
        if until is not None:
            until = future_moment(until, "until", now, "pause until you resume it")
        self.using(using).get_or_create(name=queue_name(name))
        columns = {
            "paused_at": now,
            "paused_until": until,
            "pause_reason": reason[:500],
            "paused_by": by[:150],
        }
        paused = self.using(using).filter(name=name, paused_at=None).update(**columns)
        if paused and until is not None:
            # A heartbeat ends the pause, and must know when.
            signal_dispatch.send_on_commit(signals.tasks_changed, Queue, [{}], using)
        return bool(paused)

    apause = twin(pause)

    def resume(self, name: str) -> bool:
        """Let workers start the runs of a queue again. Return False if it was not paused."""
        paused = self.using(router.db_for_write(Queue)).paused().filter(name=name)
        return bool(paused.update(**RESUMED))

    aresume = twin(resume)


if TYPE_CHECKING:

    class QueueManager(QueueQuerySet, models.Manager["Queue"]):  # type: ignore[misc]
        """The query set's methods, for type checkers."""
else:
    QueueManager = manager_from(QueueQuerySet)


class Queue(models.Model):
    """A queue that is or was paused. Queues that were never paused have no row."""

    name = models.CharField(_("name"), max_length=60, unique=True)
    paused_at = MomentField(_("paused"), null=True, blank=True)
    paused_until = MomentField(_("paused until"), null=True, blank=True)
    pause_reason = ReasonField(_("reason"), max_length=500, blank=True)
    paused_by = models.CharField(_("paused by"), max_length=150, blank=True)

    objects: ClassVar["QueueManager"] = QueueManager()

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
