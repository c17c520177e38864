"""Tells dashboards which tasks' runs changed: a few times a second, however many they are.

It hears of them by Sisy's signals, in whichever process they are sent.
"""

import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer

from sisy import doorbell, messages, signal_dispatch, signals
from sisy.forks import after_fork_in_child

if TYPE_CHECKING:
    from sisy.models import Run

EVENT_INTERVAL = 0.25  # seconds between two announcements of one process
GATHERING = 0.02  # seconds in which what belongs together is heard of
MAX_TASKS_NAMED = 100  # that are named; of more it is said that they are more

OF_RUNS = (
    signals.run_planned,
    signals.run_started,
    signals.run_released,
    signals.run_finished,
    signals.run_retrying,
    signals.run_lost,
    signals.run_missed,
    signals.run_skipped,
    signals.run_cancelled,
    signals.run_rejected,
)


class Announcer:
    """Collects what changes, from any thread: tells the first at once, what follows together.

    What it says is a hint; the rows say what is.
    """

    def __init__(self) -> None:
        self._source = uuid.uuid4().hex
        self._count = 0
        self._tasks: set[int] = set()
        self._leaves_at = float("-inf")
        self._lock = threading.Lock()

    def add(self, task: int | None) -> None:
        """Have it announced that a run of a task changed; None if that is gone."""
        if not doorbell.is_heard():
            return
        now = time.monotonic()
        with self._lock:
            if task is not None and len(self._tasks) <= MAX_TASKS_NAMED:
                self._tasks.add(task)
            if now < self._leaves_at:
                return
            self._leaves_at = max(now + GATHERING, self._leaves_at + EVENT_INTERVAL)
            wait = self._leaves_at - now
        doorbell.deliver(self._announce, messages.EVENTS, after=wait)

    async def _announce(self) -> None:
        with self._lock:
            tasks, self._tasks = self._tasks, set()
            event = messages.runs_changed(self._source, self._count, tasks, MAX_TASKS_NAMED)
            self._count += 1
        if (layer := get_channel_layer()) is not None:
            await layer.group_send(messages.EVENTS, dict(event))


_announcer = Announcer()


def on_run_changed(*, run: "Run", **kwargs: Any) -> None:
    """Have dashboards look (receiver of the signals of runs)."""
    _announcer.add(run.task_id)


def on_cancel_requested(*, tasks: list[int], **kwargs: Any) -> None:
    """Have dashboards look, which show that runs are to end (receiver of the signal)."""
    for task in tasks:
        _announcer.add(task)


def connect() -> None:
    """Have dashboards told of what happens to runs."""
    signal_dispatch.trust(on_run_changed, on_cancel_requested)
    for signal in OF_RUNS:
        signal.connect(on_run_changed, dispatch_uid="sisy.dashboard_events")
    signals.cancel_requested.connect(on_cancel_requested, dispatch_uid="sisy.dashboard_events")


def _start_afresh() -> None:
    """A forked child is another source, and holds what its parent was about to say."""
    global _announcer
    _announcer = Announcer()


after_fork_in_child(_start_afresh)
