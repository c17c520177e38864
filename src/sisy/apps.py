"""The Django app: connects Sisy's receivers when Django starts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from sisy.models import Run


class SisyConfig(AppConfig):
    name = "sisy"
    verbose_name = _("Sisy")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from sisy import checks, conf, signals  # noqa: F401
        from sisy.callables.target import adapt_tasks_of_django
        from sisy.django_tasks import call, receivers
        from sisy.lifecycle.submit import set_eager_executor
        from sisy.messaging import (
            dashboard_events,
            doorbell,
            run_log,
        )
        from sisy.runtime import signal_dispatch
        from sisy.store import database_thread
        from sisy.syncing import after_migrate

        if conf.usable_settings().aliases:
            import sisy.engines.tasks  # noqa: F401 - engines must know their tasks
        adapt_tasks_of_django(call.function_of)
        run_log.connect()
        dashboard_events.connect()
        receivers.connect_if_used()

        connection_created.connect(
            database_thread.on_connection_created, dispatch_uid="sisy.store.database_thread"
        )
        after_migrate.connect()
        set_eager_executor(_execute_eagerly)
        signal_dispatch.call_directly(
            doorbell.on_runs_queued, doorbell.on_cancel_requested, doorbell.on_drain_requested
        )
        signals.runs_queued.connect(
            doorbell.on_runs_queued, dispatch_uid="sisy.messaging.doorbell"
        )
        signals.cancel_requested.connect(
            doorbell.on_cancel_requested, dispatch_uid="sisy.messaging.doorbell"
        )
        signals.drain_requested.connect(
            doorbell.on_drain_requested, dispatch_uid="sisy.messaging.doorbell"
        )


def _execute_eagerly(runs: "Sequence[Run]", using: str) -> None:
    """Execute submitted runs here, as ``SISY_EAGER`` wants it."""
    from sisy.engines.eager import execute_eagerly  # only where it is used: it imports the worker

    execute_eagerly(runs, using)
