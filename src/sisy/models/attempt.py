"""Failed and lost attempts of runs. After each of them, its run was queued again."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from sisy.models.run import Run
from sisy.records.choices import RunState
from sisy.records.fields import MomentField, ReasonField


class Attempt(models.Model):
    """A failed or lost attempt, after which the run was queued again.

    The outcome of the last attempt is stored on the run.
    """

    run = models.ForeignKey(
        Run, verbose_name=_("run"), on_delete=models.CASCADE, related_name="attempts"
    )
    number = models.PositiveIntegerField(_("attempt"))
    state = models.CharField(_("state"), max_length=20, choices=RunState)
    reason = ReasonField(_("reason"), max_length=500, blank=True)
    error = models.TextField(_("error"), blank=True)
    error_class = models.CharField(_("error class"), max_length=255, blank=True)
    worker_name = models.CharField(_("worker"), max_length=300, blank=True)
    started_at = MomentField(_("started"), null=True)
    finished_at = MomentField(_("finished"))

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="sisy_attempt_once"),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.get_state_display()}"

    @classmethod
    def of(cls, run: Run, **columns: Any) -> "Attempt":
        """Return an unsaved record of the current attempt of ``run``."""
        return cls(run=run, number=run.attempt, worker_name=run.worker_name, **columns)

    @classmethod
    def before(cls, run: Run) -> "models.QuerySet[Attempt]":
        """Return the attempts that did not end ``run``, from the database that it comes from."""
        return cls._default_manager.using(run._state.db).filter(run=run.pk)
