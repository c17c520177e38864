"""What people do with queues."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.db import router
from django.utils.translation import gettext

from sisy.dashboard.actions.said import Said, done, note
from sisy.models import Queue


def pause(user: Any, name: str, reason: str = "") -> Iterator[Said]:
    """Let no worker take further runs of a queue."""
    yield from _changed(
        user, name, lambda: Queue.objects.pause(name, reason, by=str(user)), "Paused."
    )


def resume(user: Any, name: str) -> Iterator[Said]:
    """Let workers take its runs again."""
    yield from _changed(user, name, lambda: Queue.objects.resume(name), "Resumed.")


SAID = {
    "Paused.": "No worker takes further runs of the queue '%s'.",
    "Resumed.": "Workers take the runs of the queue '%s' again.",
}


def _changed(user: Any, name: str, change: Any, what: str) -> Iterator[Said]:
    try:
        is_done = change()
    except ValueError as error:
        yield Said(str(error), messages.ERROR)
        return
    if is_done:
        note(user, Queue.objects.using(router.db_for_write(Queue)).get(name=name), what)
    yield done(gettext(SAID[what]) % name, is_done)
