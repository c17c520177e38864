"""The spans in which runs were submitted."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TraceContext(models.Model):
    """The OpenTelemetry span that submitted a run.

    It is stored only if that span was recorded. The row is deleted together with its run.
    """

    run_id = models.BigIntegerField(_("run"), primary_key=True)
    traceparent = models.CharField(
        _("traceparent"), max_length=55, help_text=_("As in the header of W3C Trace Context.")
    )
    tracestate = models.CharField(_("tracestate"), max_length=512, blank=True)

    class Meta:
        verbose_name = _("trace context")
        verbose_name_plural = _("trace contexts")

    def __str__(self) -> str:
        return self.traceparent
