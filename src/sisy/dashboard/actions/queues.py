"""The actions on queues."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext

from sisy.dashboard.actions.result import Result, done, note
from sisy.models import Queue
from sisy.reports import formatting
from sisy.reports.queues import queues
from sisy.runtime.durations import in_zone
from sisy.runtime.escaping import escaped


def pause(
    user: Any, name: str, reason: str = "", until: datetime | None = None
) -> Iterator[Result]:
    """Pause a queue: no worker claims its runs."""
    resumes = gettext(" It resumes at %s.")
    yield from _changed(
        user,
        name,
        lambda: Queue.objects.pause(name, reason, by=str(user), until=until),
        "Paused.",
        resumes % in_zone(until, timezone.get_current_timezone()) if until else "",
    )


def resume(user: Any, name: str) -> Iterator[Result]:
    """Resume a queue."""
    yield from _changed(user, name, lambda: Queue.objects.resume(name), "Resumed.")


SAID = {
    "Paused.": "Paused the queue '%s'. Current runs continue.",
    "Resumed.": "Resumed the queue '%s'.",
}
NOTHING_NEW = {
    "Paused.": "The queue '%s' is already paused.",
    "Resumed.": "The queue '%s' is not paused.",
}


def _changed(user: Any, name: str, change: Any, what: str, then: str = "") -> Iterator[Result]:
    using = router.db_for_write(Queue)
    if name not in {queue.name for queue in queues(using, formatting.now())}:
        words = gettext("No task, run or worker uses a queue named '%s'. Nothing was changed.")
        yield Result(words % escaped(name[:60]), messages.ERROR)
        return
    try:
        is_done = change()
    except ValueError as error:
        yield Result(str(error), messages.ERROR)
        return
    if is_done:
        note(user, Queue.objects.using(using).get(name=name), what)
    words = gettext((SAID if is_done else NOTHING_NEW)[what]) % name
    yield done(f"{words}{then if is_done else ''}", is_done)
