"""The actions on workers."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext, ngettext

from sisy.dashboard.actions.result import Result, done, note
from sisy.models import Process, Role
from sisy.reports import formatting


def drain(user: Any, processes: "QuerySet[Process]") -> Iterator[Result]:
    """Drain workers: they finish their current runs, and exit."""
    count = 0
    for process in processes.filter(role=Role.WORKER):
        if process.request_drain(formatting.now()):
            note(user, process, f"Drain requested: {process}.")
            count += 1
    words = ngettext(
        "Draining %d worker. It exits when its current runs have finished.",
        "Draining %d workers. They exit when their current runs have finished.",
        count,
    )
    nothing = gettext("Nothing to drain: the worker is already draining or has stopped.")
    yield done(words % count if count else nothing, count)
