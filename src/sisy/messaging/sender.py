"""Send messages over the channel layer from any thread, despite outages and full channels."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any

from channels import DEFAULT_CHANNEL_LAYER
from channels.exceptions import ChannelFull
from channels.layers import (
    BaseChannelLayer,
    InMemoryChannelLayer,
    channel_layers,
    get_channel_layer,
)
from django.utils.module_loading import import_string

from sisy.messaging.pending_message import Make, made
from sisy.runtime.compat import after_fork_in_child
from sisy.runtime.log import Outage
from sisy.runtime.loop import retry_delay
from sisy.runtime.threads import LoopThread

LAYER_TIMEOUT = 5  # seconds for a layer to accept a message
# A channel without readers is full again and again, as its oldest messages expire.
CALM_SECONDS = 5.0
MEANWHILE = "workers find queued runs by polling"

SendCallback = Callable[[], Awaitable[None]]

_local_loops: list[asyncio.AbstractEventLoop] = []
_under_way: set["asyncio.Task[None]"] = set()
_outage = Outage("The channel layer")
_full: dict[str, Outage] = {}  # by channel, because the others still accept messages


def import_layer() -> None:
    """Import the module of the channel layer, so that no submission has to wait for it."""
    # The client of Redis takes as long to import as several hundred submissions. The layer itself
    # is not created yet: it might open connections, and a server may fork afterwards.
    with suppress(Exception):  # the check of the layer reports why it cannot be created
        import_string(channel_layers.configs[DEFAULT_CHANNEL_LAYER]["BACKEND"])


def shared_layer() -> BaseChannelLayer | None:
    """Return the channel layer if it reaches other processes, or None."""
    layer = get_channel_layer()
    return None if isinstance(layer, InMemoryChannelLayer) else layer


def has_layer() -> bool:
    """Return whether there is a channel layer, if only in memory."""
    return get_channel_layer() is not None


async def broadcast_here(group: str, message: Mapping[str, Any]) -> None:
    """Send a message to a group in this process, if the layer is in memory."""
    layer = get_channel_layer()
    if isinstance(layer, InMemoryChannelLayer):
        # The in-memory layer only reaches listeners of the loop in which it is called.
        await layer.group_send(group, dict(message))


def send_soon(send: SendCallback, address: str, after: float = 0.0) -> "futures.Future[None]":
    """Send a message from the sender's thread, in ``after`` seconds. Thread-safe."""
    return _sender.submit(send, address, after)


@contextmanager
def local_loop() -> Iterator[None]:
    """Make `publish_here` send from the running loop."""
    # With an in-memory layer, everything is in one process, and listeners are in this loop.
    loop = asyncio.get_running_loop()
    _local_loops.append(loop)
    try:
        yield
    finally:
        _local_loops.remove(loop)


def can_publish() -> bool:
    """Return whether the layer could carry a message to anyone."""
    layer = get_channel_layer()
    return bool(_local_loops) if isinstance(layer, InMemoryChannelLayer) else layer is not None


def can_publish_here() -> bool:
    """Return whether `publish_here` could reach anyone."""
    return bool(_local_loops) and isinstance(get_channel_layer(), InMemoryChannelLayer)


def publish_here(group: str, make: Make, after: float = 0.0) -> None:
    """Send a message to a group in this process, if the layer is in memory. Thread-safe."""
    loop = next(reversed(_local_loops), None) if can_publish_here() else None
    if loop is not None:
        send = partial(_send_here, group, make)
        loop.call_soon_threadsafe(loop.call_later, after, _start_sending, send, group)


async def _send_here(group: str, make: Make) -> None:
    if (message := made(group, make, dict)) is not None:
        await broadcast_here(group, message)


def _start_sending(send: SendCallback, address: str) -> None:
    task = asyncio.ensure_future(_send(send, address))
    # An event loop keeps only weak references to tasks.
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)


class Pace:
    """Decides when to send the next message about a subject. Thread-safe.

    The first message after a pause is sent immediately. Everything that happens within the
    interval after it shares the next message, which is sent at the end of the interval.

    Args:
        interval: the minimum number of seconds between two messages.
        gather: the seconds by which the first message is delayed, to cover related events.
    """

    def __init__(self, interval: float, gather: float = 0.0) -> None:
        self._interval = interval
        self._gather = gather
        self._leaves_at = float("-inf")
        self._lock = threading.Lock()

    def covers(self, now: float) -> bool:
        """Return whether an earlier caller will send a message after ``now``."""
        # Without the lock, since the moment only moves forward.
        return now < self._leaves_at

    def seconds_to_next(self, now: float) -> float | None:
        """Return the seconds after which the caller must send a message.

        Args:
            now: seconds by ``time.monotonic()``.

        Returns:
            None if an earlier caller will send a message after ``now``, which covers this one.
        """
        if self.covers(now):
            return None
        with self._lock:
            if self.covers(now):
                return None
            self._leaves_at = max(now + self._gather, self._leaves_at + self._interval)
            return self._leaves_at - now


class Sender:
    """Sends messages from a thread with an event loop of its own."""

    # One connection to the layer serves all rings. Sending by ``async_to_sync`` would open a
    # connection for each of them.
    def __init__(self) -> None:
        self._thread: LoopThread | None = None
        self._lock = threading.Lock()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._begun().loop

    def submit(
        self, send: SendCallback, address: str, after: float = 0.0
    ) -> "futures.Future[None]":
        return self._begun().submit(_send(send, address, after))

    def _begun(self) -> LoopThread:
        with self._lock:
            if self._thread is None:
                self._thread = LoopThread("sisy-doorbell")
            return self._thread


async def _send(send: SendCallback, address: str, after: float = 0.0) -> None:
    if after:
        await asyncio.sleep(after)
    full = _full.setdefault(address, Outage(f"The channel {address}", CALM_SECONDS))
    try:
        async with asyncio.timeout(LAYER_TIMEOUT):
            await send()
    except ChannelFull as error:
        full.failed(error, MEANWHILE)
        _outage.recovered()
    except Exception as error:  # noqa: BLE001 - any layer may fail in any way
        is_first = not _outage.failures
        _outage.failed(error, MEANWHILE)
        if is_first:
            await _send_again(send, address)
    else:
        full.recovered()
        _outage.recovered()


async def _send_again(send: SendCallback, address: str) -> None:
    """Repeat one message until the layer is back."""
    # So that the end of the outage is noticed, and logged, even if there is nothing else to send.
    for tries in count():
        await asyncio.sleep(retry_delay(tries))
        if not _outage.failures:
            return
        await _send(send, address)


_sender = Sender()


def _start_afresh() -> None:
    """Reset the sender in a forked child."""
    # The child inherits the event loop, but not the thread that runs it.
    global _sender
    _sender = Sender()
    _local_loops.clear()


after_fork_in_child(_start_afresh)
