"""Tells dashboards which tasks' runs changed: a few times a second, however many they are."""

import asyncio
import uuid
from collections.abc import Iterable

from channels.layers import get_channel_layer

from sisy import doorbell, messages
from sisy.models import Run

APART = 0.25  # seconds between two announcements of one process
MOST_TASKS = 100  # that are named; of more it is said that they are more


class Announcer:
    """Collects what changes, and announces it: the first at once, what follows together.

    Use it within one event loop. What it says is a hint; the rows say what is.
    """

    def __init__(self) -> None:
        self._source = uuid.uuid4().hex
        self._count = 0
        self._tasks: set[int] = set()
        self._last = -APART
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    def add(self, runs: Iterable[Run]) -> None:
        """Have it announced that these runs changed."""
        if get_channel_layer() is None:
            return
        if len(self._tasks) <= MOST_TASKS:
            self._tasks.update(run.task_id for run in runs if run.task_id is not None)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._last + APART), self._announce)

    def close(self) -> None:
        """Announce no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _announce(self) -> None:
        self._timer = None
        self._last = asyncio.get_running_loop().time()
        tasks, self._tasks = self._tasks, set()
        event = messages.runs_changed(self._source, self._count, tasks, MOST_TASKS)
        self._count += 1
        # Held, since a loop forgets tasks that nobody holds.
        self._leaving = asyncio.create_task(doorbell.broadcast(messages.EVENTS, event))
