"""Wakes workers when runs wait: those in this process at once, others over the channel layer.

A ring is a hint that may be lost. Workers find what waits by looking, too, if a little later.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer

from sisy import conf, messages
from sisy.log import Outage
from sisy.models import Run

_listeners: dict[str, set[Callable[[], None]]] = {}
_outage = Outage("the channel layer")


def shared_layer() -> BaseChannelLayer | None:
    """Return the layer by which processes reach each other, or None if there is none."""
    layer = get_channel_layer()
    return None if isinstance(layer, InMemoryChannelLayer) else layer


@contextmanager
def listening(queues: Iterable[str], wake: Callable[[], None]) -> Iterator[None]:
    """Call ``wake``, from any thread, when a run of one of the queues waits in this process."""
    for queue in queues:
        _listeners.setdefault(queue, set()).add(wake)
    try:
        yield
    finally:
        for queue in queues:
            _listeners[queue].discard(wake)


def ring(runs: Iterable[Run]) -> None:
    """Tell workers that ``runs`` wait, by one message a queue; from any thread, at once."""
    firsts = {run.queue: run for run in reversed(list(runs))}
    for queue in firsts:
        for wake in tuple(_listeners.get(queue, ())):
            wake()
    layer = shared_layer()
    if layer is not None and firsts:
        settings = conf.get_settings()
        letters = [
            (settings.channel_of(queue), messages.run_task(run)) for queue, run in firsts.items()
        ]
        _postman.deliver(layer, letters)


def on_runs_waiting(*, runs: list[Run], **kwargs: Any) -> None:
    """Ring when somebody's transaction has committed runs (receiver of the signal)."""
    ring(runs)


class Postman:
    """Sends from a thread with an event loop of its own, so that one connection serves all rings.

    Sending from synchronous code by ``async_to_sync`` would open a connection for each.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def deliver(self, layer: BaseChannelLayer, letters: list[tuple[str, Any]]) -> None:
        asyncio.run_coroutine_threadsafe(_send(layer, letters), self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                serve = self._loop.run_forever
                threading.Thread(target=serve, name="sisy-doorbell", daemon=True).start()
            return self._loop


async def _send(layer: BaseChannelLayer, letters: list[tuple[str, Any]]) -> None:
    for channel, message in letters:
        try:
            async with asyncio.timeout(5):
                await layer.send(channel, message)
        except Exception as error:  # noqa: BLE001 - any layer may fail in any way
            _outage.failed(error, "workers find waiting runs by looking for them")
        else:
            _outage.recovered()


_postman = Postman()


def _start_afresh() -> None:
    """A forked child inherits the loop but not the thread that runs it."""
    global _postman
    _postman = Postman()


os.register_at_fork(after_in_child=_start_afresh)
