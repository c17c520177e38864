"""The Django app: connects Sisy's receivers when Django starts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SisyConfig(AppConfig):
    name = "sisy"
    verbose_name = _("Sisy")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from sisy import (  # noqa: F401 - checks register themselves
            checks,
            conf,
            dashboard_events,
            database_thread,
            doorbell,
            reporting,
            signal_dispatch,
            signals,
        )
        from sisy.callables.resolve import adapt_tasks_of_django
        from sisy.django_tasks import calling, receivers
        from sisy.syncing import migrating

        if conf.usable_settings().aliases:
            import sisy.engines.trampoline  # noqa: F401 - engines must know their tasks
        adapt_tasks_of_django(calling.function_of)
        reporting.connect()
        dashboard_events.connect()
        receivers.connect_if_used()

        connection_created.connect(
            database_thread.on_connection_created, dispatch_uid="sisy.database_thread"
        )
        migrating.connect()
        signal_dispatch.trust(
            doorbell.on_runs_queued, doorbell.on_cancel_requested, doorbell.on_drain_requested
        )
        signals.runs_queued.connect(doorbell.on_runs_queued, dispatch_uid="sisy.doorbell")
        signals.cancel_requested.connect(
            doorbell.on_cancel_requested, dispatch_uid="sisy.doorbell"
        )
        signals.drain_requested.connect(doorbell.on_drain_requested, dispatch_uid="sisy.doorbell")
