"""Send and receive messages over the channel layer, despite outages and full channels."""

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

from sisy.messaging.messages import MEANWHILE, Receive
from sisy.messaging.pending_message import Make, made
from sisy.runtime.compat import after_fork_in_child
from sisy.runtime.log import Outage
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Loop, retry_delay
from sisy.runtime.threads import LoopThread

LAYER_TIMEOUT = 5  # seconds for a layer to accept a message
# A channel without readers is full again and again, as its oldest messages expire.
FULL_CALM_SECONDS = 5.0

# Seconds until the listener rejoins its groups, because layers expire members.
MEMBERSHIP_SECONDS = 3600.0

# Seconds without an error after which a channel works again, even if no message has come: other
# workers may have received them all. Longer than redis-py's timeout of 5 s, by which a wrongly
# configured client fails again and again.
LISTENING_CALM_SECONDS = 10.0

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
    full = _full.setdefault(address, Outage(f"The channel {address}", FULL_CALM_SECONDS))
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


class ChannelListener:
    """Receives the messages of some channels and groups.

    Args:
        channels, groups: what to call with each message to them.
    """

    def __init__(self, channels: Mapping[str, Receive], groups: Mapping[str, Receive]) -> None:
        self._channels = channels
        self._groups = groups
        self._addresses: dict[str, str] = {}  # this listener's own channel in each group
        self._receiving: dict[str, asyncio.Future[Any]] = {}  # by channel
        self._loops: list[Loop] = []
        self._listening: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start listening. Does nothing without a layer that reaches other processes."""
        if shared_layer() is None:
            return
        receiving = {name: partial(self._receive, name) for name in self._channels}
        receiving |= {name: partial(self._receive_as_member, name) for name in self._groups}
        for name, step in receiving.items():
            loop = Loop(f"Listening on {name}", step)
            self._loops.append(loop)
            self._listening.append(asyncio.create_task(loop.run()))

    @property
    def is_live(self) -> bool:
        """Return whether messages arrive, as far as is known. Thread-safe."""
        has_joined = self._addresses.keys() >= self._groups.keys()
        return bool(self._loops) and has_joined and not any(one.is_failing for one in self._loops)

    async def close(self) -> None:
        """Stop listening."""
        self._loops.clear()
        # Those that receive come last: until a loop has ended, it may start to receive again.
        for ending in (self._listening, self._receiving.values()):
            for each in ending:
                each.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _receive(self, channel: str) -> float:
        """Receive one message, or continue to wait for it in the next step."""
        layer = shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        receiving = self._receiving.get(channel)
        if receiving is None:
            receiving = asyncio.ensure_future(layer.receive(channel))
            self._receiving[channel] = receiving
        await asyncio.wait([receiving], timeout=LISTENING_CALM_SECONDS)
        if receiving.done():
            del self._receiving[channel]
            self._channels[channel](receiving.result())
        return 0.0

    async def _receive_as_member(self, group: str) -> float:
        """Join a group, or receive one message to it."""
        layer = shared_layer()
        if layer is None:
            return IDLE_POLL_INTERVAL
        if group not in self._addresses:
            address = await layer.new_channel()
            async with asyncio.timeout(LAYER_TIMEOUT):
                await layer.group_add(group, address)
            self._addresses[group] = address
            return 0.0
        try:
            async with asyncio.timeout(MEMBERSHIP_SECONDS):
                message = await layer.receive(self._addresses[group])
        except TimeoutError:
            del self._addresses[group]
            return 0.0
        except Exception:
            # The layer may have restarted and forgotten this member, so join again.
            del self._addresses[group]
            raise
        self._groups[group](message)
        return 0.0


_sender = Sender()


def _start_afresh() -> None:
    """Reset the sender in a forked child."""
    # The child inherits the event loop, but not the thread that runs it.
    global _sender
    _sender = Sender()
    _local_loops.clear()


after_fork_in_child(_start_afresh)
