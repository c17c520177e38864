"""Wake workers for queued runs: directly in this process, and over a carrier in others.

Runs of other engines wake the dispatcher of this process instead.

A ring is a hint that may be lost. Workers also find queued runs by polling, a little later.
A process that submits many runs in a row rings only once every few milliseconds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sisy import conf, signals
from sisy.messaging import carriers, messages
from sisy.messaging.carriers import Listener, Pace
from sisy.runtime import signal_dispatch
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.compat import after_fork_in_child
from sisy.runtime.log import logger

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

# Sending a message takes longer than storing a run, and competes with the submitting thread. More
# rings gain nothing: after the first one, a worker needs about this long until it claims again.
RING_INTERVAL = 0.01  # seconds between two rings of one process on a channel

_listeners: dict[str, set[Callable[[], None]]] = {}
_engine_listeners: set[Callable[[], None]] = set()
_control_listeners: set[Callable[[], None]] = set()
_paces: dict[str, Pace] = {}  # by channel
_received: Counter[str] = Counter()  # rings of other processes, by channel


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
    # One message per queue is enough: a worker that becomes full by it rings again for the rest.
    firsts: dict[str, RunRecord] = {}
    is_of_engine = False
    for run in runs:
        if run.engine:
            is_of_engine = True
        else:
            firsts.setdefault(run.queue, run)
    if is_of_engine:
        for wake in tuple(_engine_listeners):
            wake()
    for queue in firsts:
        for wake in tuple(_listeners.get(queue, ())):
            wake()
    now = time.monotonic()
    leaving = [_send_ring(run, now) for run in firsts.values()]
    if within:
        futures.wait(filter(None, leaving), within)
    checkpoint("ring: sent")


def ring_on(run: "RunRecord") -> None:
    """Wake another worker, because the one that was rung is full and ``run`` was not the last."""
    carrier = carriers.carrier()
    # What reaches all workers has woken the others, too.
    if carrier is None or not carrier.reaches_all:
        ring([run])


def _send_ring(run: "RunRecord", now: float) -> "futures.Future[None] | None":
    """Ring on the channel of a run's queue, unless one that covers the run will be sent soon."""
    channel = conf.get_settings().channel_of(run.queue)
    pace = _paces.get(channel) or _paces.setdefault(channel, Pace(RING_INTERVAL))
    departure = carriers.next_departure(pace, now)
    if departure is None:
        return None
    carrier, wait = departure
    message = messages.run_task(run)
    return carrier.send(channel, lambda: message, wait)


def listener(
    queues: Iterable[str], wake: Callable[[], None], on_control: Callable[[], None]
) -> Listener:
    """Return what receives the rings and control messages of other processes.

    Args:
        queues: the queues whose rings to receive.
        wake: called for each ring. Thread-safe.
        on_control: called for each control message, such as a cancel request. Thread-safe.
    """

    def look() -> None:
        wake()
        on_control()

    rings = {
        channel: partial(_receive_ring, channel, wake)
        for channel in map(conf.get_settings().channel_of, queues)
    }
    return carriers.listener(rings, {messages.WORKERS: partial(_receive_order, on_control)}, look)


def _receive_ring(channel: str, wake: Callable[[], None], message: Any) -> None:
    if messages.is_run_task(message):
        _received[channel] += 1
        wake()
    else:
        logger.warning("Ignored an unknown message on %s: %.200r", channel, message)


def take_received() -> Mapping[str, int]:
    """Return how many rings of other processes were received since the last call, by channel."""
    global _received
    received, _received = _received, Counter()
    return received


def _receive_order(on_control: Callable[[], None], message: Any) -> None:
    if messages.is_control(message):
        on_control()
    else:
        logger.warning("Ignored an unknown message to workers: %.200r", message)


def on_runs_queued(news: list[dict[str, Any]]) -> None:
    """Ring for committed runs. Receives the signal ``runs_queued`` in batches."""
    for each in news:
        ring(each["runs"])


def on_cancel_requested(*, pks: list[int], **kwargs: Any) -> None:
    """Make workers check for cancel requests. Receiver of the signal."""
    _send_control(messages.cancel(pks[0]))


def on_drain_requested(*, pk: int, **kwargs: Any) -> None:
    """Make workers check for drain requests. Receiver of the signal."""
    _send_control(messages.drain(pk))


def _send_control(message: messages.Control) -> None:
    for on_control in tuple(_control_listeners):
        on_control()
    if (carrier := carriers.carrier()) is not None:
        carrier.publish(messages.WORKERS, lambda: message)


def connect() -> None:
    """Connect the receivers."""
    signals.runs_queued.connect_of_batches(on_runs_queued)
    for signal, receiver in (
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
