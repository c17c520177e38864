"""Wake heartbeats when something has changed that their last look did not see.

Tasks were changed, a run was queued with a delay, or a parent has reported the death of a process.
Heartbeats in this process are woken directly, and others over a carrier.

A ring is a hint that may be lost. Heartbeats also look by themselves, at least every two seconds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sisy import signals
from sisy.messaging import carriers, messages
from sisy.messaging.carriers import Listener, Pace
from sisy.runtime import signal_dispatch
from sisy.runtime.compat import after_fork_in_child
from sisy.runtime.log import logger

RING_INTERVAL = 0.1  # seconds between two rings of one process

_listeners: set[Callable[[], None]] = set()
_pace = Pace(RING_INTERVAL)


@contextmanager
def listening(wake: Callable[[], None]) -> Iterator[None]:
    """Call ``wake`` for the rings of this process, in any thread."""
    _listeners.add(wake)
    try:
        yield
    finally:
        _listeners.discard(wake)


def listener(wake: Callable[[], None]) -> Listener:
    """Return what calls ``wake`` for the rings of other processes, in any thread."""

    def receive(message: Any) -> None:
        if messages.is_look(message):
            wake()
        else:
            logger.warning("Ignored an unknown message to heartbeats: %.200r", message)

    return carriers.listener({}, {messages.HEARTBEATS: receive}, wake)


def ring() -> None:
    """Make heartbeats look at once. Thread-safe.

    Calls that follow each other within `RING_INTERVAL` share the next message.
    """
    for wake in tuple(_listeners):
        wake()
    departure = carriers.next_departure(_pace, time.monotonic())
    if departure is not None:
        carrier, wait = departure
        carrier.publish(messages.HEARTBEATS, messages.look, wait)


def on_tasks_changed(**kwargs: Any) -> None:
    """Make heartbeats look at once. Receiver of the signal."""
    ring()


def on_runs_queued(news: list[dict[str, Any]]) -> None:
    """Make heartbeats look at once if a run becomes ready later. Receives it in batches."""
    # It may become ready before their next look, and they ring for it then.
    if any(run.ready_at > run.planned_at for each in news for run in each["runs"]):
        ring()


def on_runs_retrying(news: list[dict[str, Any]]) -> None:
    """Make heartbeats look at once. Receives the signals in batches."""
    ring()


def connect() -> None:
    """Connect the receivers."""
    signal_dispatch.call_directly(on_tasks_changed)
    signals.tasks_changed.connect(on_tasks_changed, dispatch_uid="sisy.messaging.heartbeat_bell")
    signals.runs_queued.connect_of_batches(on_runs_queued)
    signals.run_retrying.connect_of_batches(on_runs_retrying)


def _start_afresh() -> None:
    """Reset the pace in a forked child."""
    # A thread of the parent may have held its lock.
    global _pace
    _pace = Pace(RING_INTERVAL)


after_fork_in_child(_start_afresh)
