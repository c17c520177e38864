"""Wake workers for queued runs: directly in this process, over the channel layer in others.

A ring is a hint that may be lost. Workers also find queued runs by polling, a little later.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sisy import conf, signals
from sisy.messaging import messages, sender
from sisy.runtime import signal_dispatch
from sisy.runtime.checkpoint import checkpoint

if TYPE_CHECKING:
    from sisy.models import Run

_listeners: dict[str, set[Callable[[], None]]] = {}
_control_listeners: set[Callable[[], None]] = set()


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


def ring(runs: "Iterable[Run]", within: float = 0.0) -> None:
    """Tell workers that ``runs`` are queued, with one message per queue. Thread-safe.

    Runs of other engines are ignored.

    Args:
        within: the seconds to wait until the messages are sent. A caller that continues with
            other work at once would compete for the CPU with the threads that send and receive.
    """
    # One message per queue is enough: a worker that becomes full by it rings again for the rest.
    firsts = {run.queue: run for run in reversed(list(runs)) if not run.engine}
    for queue in firsts:
        for wake in tuple(_listeners.get(queue, ())):
            wake()
    layer = sender.shared_layer()
    if layer is not None and firsts:
        settings = conf.get_settings()
        leaving = []
        for queue, run in firsts.items():
            channel = settings.channel_of(queue)
            send = partial(layer.send, channel, dict(messages.run_task(run)))
            leaving.append(sender.send_soon(send, channel))
        if within:
            futures.wait(leaving, within)
    checkpoint("ring: sent")


def on_runs_queued(*, runs: "list[Run]", **kwargs: Any) -> None:
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
