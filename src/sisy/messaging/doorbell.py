"""Wake workers for queued runs: directly in this process, over the channel layer in others.

Runs of other engines wake the dispatcher of this process instead.

A ring is a hint that may be lost. Workers also find queued runs by polling, a little later.
A process that submits many runs in a row rings only once every few milliseconds.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from channels.layers import BaseChannelLayer

from sisy import conf, signals
from sisy.messaging import messages, sender
from sisy.messaging.sender import Pace
from sisy.runtime import signal_dispatch
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.compat import after_fork_in_child
from sisy.runtime.log import logger
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Loop

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

# Sending a message takes longer than storing a run, and competes with the submitting thread. More
# rings gain nothing: after the first one, a worker needs about this long until it claims again.
RING_INTERVAL = 0.01  # seconds between two rings of one process on a channel

# Seconds until the worker rejoins its group, because layers expire members.
MEMBERSHIP_SECONDS = 3600.0

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


class ChannelListener:
    """Listens for messages and turns them into callbacks.

    Args:
        queues: the queues on whose channels to listen for rings.
        wake: called for each ring.
        on_control: called for each control message, such as a cancel request.
    """

    def __init__(
        self, queues: Iterable[str], wake: Callable[[], None], on_control: Callable[[], None]
    ) -> None:
        self._queues = tuple(queues)
        self._wake = wake
        self._on_control = on_control
        self._address: str | None = None  # this worker's channel in the group of workers
        self._listening: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start listening. Does nothing without a layer that reaches other processes."""
        if sender.shared_layer() is None:
            return
        steps = {messages.WORKERS: self._hear_orders}
        for queue in self._queues:
            channel = conf.get_settings().channel_of(queue)
            steps[channel] = partial(self._hear_rings, channel)
        for name, step in steps.items():
            loop = Loop(f"Listening on {name}", step)
            self._listening.append(asyncio.create_task(loop.run()))

    async def close(self) -> None:
        """Stop listening."""
        for listening in self._listening:
            listening.cancel()
        for listening in self._listening:
            with suppress(asyncio.CancelledError):
                await listening

    async def _hear_rings(self, channel: str) -> float:
        layer = sender.shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        message = await layer.receive(channel)
        if messages.is_run_task(message):
            self._wake()
        else:
            logger.warning("Ignored an unknown message on %s: %.200r", channel, message)
        return 0.0

    async def _hear_orders(self) -> float:
        """Join the group of workers, or receive one message to it."""
        layer = sender.shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        if self._address is None:
            address = await layer.new_channel()
            async with asyncio.timeout(sender.LAYER_TIMEOUT):
                await layer.group_add(messages.WORKERS, address)
            self._address = address
            return 0.0
        try:
            async with asyncio.timeout(MEMBERSHIP_SECONDS):
                message = await layer.receive(self._address)
        except TimeoutError:
            self._address = None
            return 0.0
        except Exception:
            # The layer may have restarted and forgotten this member, so join again.
            self._address = None
            raise
        if messages.is_control(message):
            self._on_control()
        else:
            logger.warning("Ignored an unknown message to workers: %.200r", message)
        return 0.0


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
