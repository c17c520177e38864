"""The counters and histograms of a site, for the metrics."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from sisy.records.fields import MomentField


class Tally(models.Model):
    """A part of the site's counters and histograms. The sum of all rows is what has happened.

    A process adds what it has counted to any row that no other process has locked, and creates a
    row if all are locked. So there are about as many rows as processes that once wrote at the
    same time, nothing waits for a lock, and no row belongs to a process that may die.

    Attributes:
        layout: the version of ``totals``. A process only uses rows of the layout that it knows.
    """

    layout = models.PositiveSmallIntegerField(_("layout"))
    totals = models.JSONField(_("totals"), default=dict)
    changed_at = MomentField(_("changed"))

    class Meta:
        verbose_name = _("tally")
        verbose_name_plural = _("tallies")

    def __str__(self) -> str:
        return f"tally {self.pk}"
