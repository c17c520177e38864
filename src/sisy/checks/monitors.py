"""The note about schedules that Sentry cannot monitor."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Info

from sisy import conf
from sisy.alerting import sentry
from sisy.exceptions import ScheduleError
from sisy.runtime.escaping import escaped
from sisy.schedules.crontab_export import as_crontab


def without_monitor(
    what: str, expression: str, key: str, obj: Any, users: str = ""
) -> Iterator[CheckMessage]:
    """Yield a note if a valid schedule gets no monitor at Sentry, and Sentry's SDK is active.

    Args:
        what: the beginning of the sentence, which names the schedule.
        users: a sentence about the tasks with the schedule.
    """
    if not (expression and conf.usable_settings().sentry_monitors and sentry.is_active()):
        return
    try:
        as_crontab(expression, key)
    except ScheduleError as error:
        yield Info(
            escaped(f"{what} gets no Sentry monitor, because {error}.{users and ' '}{users}"),
            hint=(
                "Sentry monitors support only five plain cron fields. Sentry still reports "
                "errors, and Sisy alerts you to missed runs. To turn Sentry monitors off, set "
                "SISY_SENTRY_MONITORS = False."
            ),
            obj=obj,
            id="sisy.I002",
        )
