"""Pause and resume queues."""

from typing import TYPE_CHECKING, ClassVar

from django.db import models, router
from django.utils.translation import gettext_lazy as _

from sisy import clock
from sisy.records.fields import MomentField, ReasonField
from sisy.records.twins import manager_from, twin
from sisy.runtime.worker_options import queue_name


class QueueQuerySet(models.QuerySet["Queue"]):
    def paused(self) -> "QueueQuerySet":
        """Return the paused queues."""
        return self.exclude(paused_at=None)

    def pause(self, name: str, reason: str = "", by: str = "") -> bool:
        """Pause a queue: workers start no more of its runs. Return False if it was already paused.

        Running runs continue, and due occurrences are still queued.

        Args:
            reason: shown to people who ask why runs are queued.
            by: the name of the person who paused it.

        Raises:
            ValueError: the name is not valid.
        """
        using = router.db_for_write(Queue)
        self.using(using).get_or_create(name=queue_name(name))
        columns = {
            "paused_at": clock.now(using),
            "pause_reason": reason[:500],
            "paused_by": by[:150],
        }
        return bool(self.using(using).filter(name=name, paused_at=None).update(**columns))

    apause = twin(pause)

    def resume(self, name: str) -> bool:
        """Let workers start the runs of a queue again. Return False if it was not paused."""
        paused = self.using(router.db_for_write(Queue)).paused().filter(name=name)
        return bool(paused.update(paused_at=None, pause_reason="", paused_by=""))

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
    pause_reason = ReasonField(_("reason"), max_length=500, blank=True)
    paused_by = models.CharField(_("paused by"), max_length=150, blank=True)

    objects: ClassVar["QueueManager"] = QueueManager()

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
