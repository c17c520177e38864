"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SisyConfig(AppConfig):
    name = "sisy"
    verbose_name = _("Sisy")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from sisy import checks, doorbell, signals  # noqa: F401 - checks register themselves

        signals.runs_waiting.connect(doorbell.on_runs_waiting, dispatch_uid="sisy.doorbell")
        signals.cancel_asked.connect(doorbell.on_cancel_asked, dispatch_uid="sisy.doorbell")
