"""Wake workers for queued runs: directly in this process, over the channel layer in others.

Runs of other engines wake the dispatcher of this process instead.

A ring is a hint that may be lost. Workers also find queued runs by polling, a little later.
A process that submits many runs in a row rings only once every few milliseconds.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from channels.layers import BaseChannelLayer

from sisy import conf, signals
from sisy.messaging import messages, sender
from sisy.messaging.sender import Pace
from sisy.runtime import signal_dispatch
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.compat import after_fork_in_child

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

# Sending a message takes longer than storing a run, and competes with the submitting thread. More
# rings gain nothing: after the first one, a worker needs about this long until it claims again.
RING_INTERVAL = 0.01  # seconds between two rings of one process on a channel

_listeners: dict[str, set[Callable[[], None]]] = {}
_engine_listeners: set[Callable[[], None]] = set()
_control_listeners: set[Callable[[], None]] = set()
_paces: dict[str, Pace] = {}  # by channel


@contextmanager
def listening(
    queues: Iterable[str], wake: Callable[[], None], on_control: Callable[[], None] | None = None
) -> Iterator[None]:
    """Receive the rings and control messages of this process, in any thread.

    Args:
        wake: called when a run is queued in one of the queues.
        on_control: called for a cancel or drain request.
    """
    controls = {on_control} if on_control else set()
    _control_listeners.update(controls)
    for queue in queues:
        _listeners.setdefault(queue, set()).add(wake)
    try:
        yield
    finally:
        _control_listeners.difference_update(controls)
        for queue in queues:
            _listeners[queue].discard(wake)


@contextmanager
def listening_for_engines(wake: Callable[[], None]) -> Iterator[None]:
    """Receive the rings of this process for runs of other engines, in any thread."""
    _engine_listeners.add(wake)
    try:
        yield
    finally:
        _engine_listeners.discard(wake)


def ring(runs: "Iterable[RunRecord]", within: float = 0.0) -> None:
    """Tell workers that ``runs`` are queued, with one message per queue. Thread-safe.

    Calls that follow each other within `RING_INTERVAL` share the next message.

    Args:
        within: the seconds to wait until the messages are sent. A caller that continues with
            other work at once would compete for the CPU with the threads that send and receive.
    """
    queued = list(runs)
    if any(run.engine for run in queued):
        for wake in tuple(_engine_listeners):
            wake()
    # One message per queue is enough: a worker that becomes full by it rings again for the rest.
    firsts = {run.queue: run for run in reversed(queued) if not run.engine}
    for queue in firsts:
        for wake in tuple(_listeners.get(queue, ())):
            wake()
    layer = sender.shared_layer()
    if layer is not None and firsts:
        now = time.monotonic()
        leaving = [_send_ring(layer, run, now) for run in firsts.values()]
        if within:
            futures.wait(filter(None, leaving), within)
    checkpoint("ring: sent")


def _send_ring(
    layer: BaseChannelLayer, run: "RunRecord", now: float
) -> "futures.Future[None] | None":
    """Ring on the channel of a run's queue, unless one that covers the run will be sent soon."""
    channel = conf.get_settings().channel_of(run.queue)
    pace = _paces.get(channel) or _paces.setdefault(channel, Pace(RING_INTERVAL))
    wait = pace.seconds_to_next(now)
    if wait is None:
        return None
    send = partial(layer.send, channel, dict(messages.run_task(run)))
    return sender.send_soon(send, channel, after=wait)


def on_runs_queued(*, runs: "list[RunRecord]", **kwargs: Any) -> None:
    """Ring for committed runs. Receiver of the signal ``runs_queued``."""
    ring(runs)


def on_cancel_requested(*, pks: list[int], **kwargs: Any) -> None:
    """Make workers check for cancel requests. Receiver of the signal."""
    _send_control(messages.cancel(pks[0]))


def on_drain_requested(*, pk: int, **kwargs: Any) -> None:
    """Make workers check for drain requests. Receiver of the signal."""
    _send_control(messages.drain(pk))


def _send_control(message: messages.Control) -> None:
    for on_control in tuple(_control_listeners):
        on_control()
    layer = sender.shared_layer()
    if layer is not None:
        sender.send_to_group(layer, messages.WORKERS, message)


def connect() -> None:
    """Connect the receivers."""
    for signal, receiver in (
        (signals.runs_queued, on_runs_queued),
        (signals.cancel_requested, on_cancel_requested),
        (signals.drain_requested, on_drain_requested),
    ):
        signal_dispatch.call_directly(receiver)
        signal.connect(receiver, dispatch_uid="sisy.messaging.doorbell")


def _start_afresh() -> None:
    """Reset the paces in a forked child."""
    # A thread of the parent may have held the lock of one.
    _paces.clear()


after_fork_in_child(_start_afresh)
