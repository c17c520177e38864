"""Tell dashboards which tasks' runs have changed, at most a few times a second per process.

The receivers of Sisy's signals below collect the changes, in every process that sends signals.
"""

import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

from sisy import signals
from sisy.messaging import carriers, messages
from sisy.messaging.carriers import Pace
from sisy.messaging.messages import Event
from sisy.runtime import signal_dispatch
from sisy.runtime.compat import after_fork_in_child

EVENT_INTERVAL = 0.25  # seconds between two announcements of one process
GATHER_SECONDS = 0.02  # seconds to wait for changes that belong together
MAX_TASKS_NAMED = 100  # tasks of one event, which says if there are more

OF_RUNS = (
    signals.run_planned,
    signals.run_withdrawn,
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
    """Collects changes from any thread. Announces the first one soon, and later ones together.

    An announcement is a hint that may be lost; the rows are the truth.
    """

    def __init__(self) -> None:
        self._source = uuid.uuid4().hex
        self._count = 0
        self._tasks: set[int] = set()
        self._only_output = True
        self._pace = Pace(EVENT_INTERVAL, GATHER_SECONDS)
        self._lock = threading.Lock()

    def add(self, *tasks: int | None, kind: str = messages.RUNS) -> None:
        """Announce that runs of tasks changed; None means a task that was deleted."""
        # The pace is quicker to check. If a message will be sent, it has receivers.
        if not self._pace.covers(time.monotonic()) and not carriers.can_publish():
            return
        with self._lock:
            self._only_output &= kind == messages.OUTPUT
            for task in tasks:
                if task is not None and len(self._tasks) <= MAX_TASKS_NAMED:
                    self._tasks.add(task)
        wait = self._pace.seconds_to_next(time.monotonic())
        if wait is not None:
            carriers.publish(messages.EVENTS, self._event, after=wait)

    def _event(self) -> Event:
        with self._lock:
            tasks, self._tasks = self._tasks, set()
            kind = messages.OUTPUT if self._only_output else messages.RUNS
            self._only_output = True
            event = messages.runs_changed(self._source, self._count, tasks, MAX_TASKS_NAMED, kind)
            self._count += 1
        return event


_announcer = Announcer()


def on_runs_changed(news: list[dict[str, Any]]) -> None:
    """Announce the tasks of runs. Receives the signals of runs in batches."""
    _announcer.add(*[each["run"].task_id for each in news])


def announce_output(tasks: Iterable[int | None]) -> None:
    """Announce that runs of tasks have printed something or reported progress."""
    _announcer.add(*tasks, kind=messages.OUTPUT)


def on_cancel_requested(*, tasks: list[int], **kwargs: Any) -> None:
    """Announce the tasks, because dashboards show cancel requests. Receiver of the signal."""
    _announcer.add(*tasks)


def connect() -> None:
    """Connect the receivers."""
    for signal in OF_RUNS:
        signal.connect_of_batches(on_runs_changed)
    signal_dispatch.call_directly(on_cancel_requested)
    signals.cancel_requested.connect(
        on_cancel_requested, dispatch_uid="sisy.messaging.dashboard_events"
    )


def _start_afresh() -> None:
    """Reset the announcer in a forked child."""
    # The child is another source, and must not announce what its parent has collected.
    global _announcer
    _announcer = Announcer()


after_fork_in_child(_start_afresh)
