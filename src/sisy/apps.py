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
        from sisy import checks, conf  # noqa: F401
        from sisy.alerting import deadman, pings, sentry
        from sisy.django_tasks import call, receivers
        from sisy.execution.call import adapt_tasks_of_django
        from sisy.lifecycle.submit import set_eager_executor
        from sisy.management import after_migrate
        from sisy.messaging import (
            channel_layer,
            dashboard_events,
            doorbell,
            heartbeat_bell,
            run_log,
        )
        from sisy.monitoring import counting, otel
        from sisy.reports.alerts.health import failed_checks
        from sisy.store import database_thread

        conf.hide_addresses()
        if conf.usable_settings().aliases:
            import sisy.engines.tasks  # noqa: F401 - engines must know their tasks
        adapt_tasks_of_django(call.function_of)
        set_eager_executor(_execute_eagerly)
        deadman.use_health_checks(failed_checks)
        pings.connect()
        sentry.connect_if_installed()
        run_log.connect()
        dashboard_events.connect()
        doorbell.connect()
        heartbeat_bell.connect()
        counting.connect()
        otel.connect_if_installed()
        receivers.connect_if_used()
        database_thread.connect()
        after_migrate.connect()
        channel_layer.import_layer()


def _execute_eagerly(runs: "Sequence[Run]", using: str) -> None:
    """Execute submitted runs in this process, if ``SISY_EAGER`` is on."""
    from sisy.engines.eager import execute_eagerly  # only here, since it imports the worker

    execute_eagerly(runs, using)
