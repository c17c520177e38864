"""Choose what carries messages to other processes: a shared channel layer, PostgreSQL, or nothing.

========================  =======================  =========================================
channel layer             database                 messages go
========================  =======================  =========================================
reaches other processes   any                      over the layer
in memory, or none        PostgreSQL, psycopg 3    by NOTIFY; also over the layer in memory
in memory, or none        another                  to this process only
========================  =======================  =========================================

Callers do not know which. Each message is a hint that may be lost; the rows are the truth, and
polling finds what was lost.
"""

import atexit
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from channels.layers import BaseChannelLayer
from django.apps import apps
from django.db import connections, router

from sisy.messaging import channel_layer
from sisy.messaging.channel_layer import ChannelListener
from sisy.messaging.messages import Receive
from sisy.messaging.notify_post import NotifyPost, Subscription
from sisy.messaging.pending_message import Make, made
from sisy.runtime.compat import after_fork_in_child, is_in_a_test_run

EXIT_TIMEOUT = 0.5  # seconds that a process waits at its exit for its last messages to leave

_posts: dict[tuple[Any, ...], NotifyPost] = {}


class Carrier(Protocol):
    """Carries messages to other processes. Thread-safe.

    Attributes:
        reaches_all: whether each message to a channel reaches all of its listeners, or only one.
    """

    reaches_all: bool

    def send(self, channel: str, make: Make, after: float = 0.0) -> "Future[None]":
        """Send a message to listeners of a channel, in ``after`` seconds."""

    def publish(self, group: str, make: Make, after: float = 0.0) -> None:
        """Send a message to all members of a group, in ``after`` seconds."""


class Listener(Protocol):
    """Receives the messages of other processes."""

    @property
    def is_live(self) -> bool:
        """Return whether messages arrive, as far as is known. Thread-safe."""

    def open(self) -> None:
        """Begin to listen, in the running event loop."""

    async def close(self) -> None:
        """Stop listening."""


class LayerCarrier:
    """Carries messages over a channel layer that reaches other processes."""

    reaches_all = False

    def __init__(self, layer: BaseChannelLayer) -> None:
        self._layer = layer

    def send(self, channel: str, make: Make, after: float = 0.0) -> "Future[None]":
        async def send() -> None:
            if (message := made(channel, make, dict)) is not None:
                await self._layer.send(channel, message)

        return channel_layer.send_soon(send, channel, after)

    def publish(self, group: str, make: Make, after: float = 0.0) -> None:
        async def send() -> None:
            if (message := made(group, make, dict)) is not None:
                await self._layer.group_send(group, message)

        channel_layer.send_soon(send, group, after)


class PostgresListener:
    """Receives what arrives by NOTIFY.

    Args:
        receive: called with the messages of each channel and group, in any thread.
        look: called when messages arrive again, as some may have been lost before.
    """

    def __init__(
        self, post: NotifyPost, receive: Mapping[str, Receive], look: Callable[[], None]
    ) -> None:
        self._post = post
        self._receive = receive
        self._look = look
        self._subscription: Subscription | None = None

    @property
    def is_live(self) -> bool:
        return self._subscription is not None and self._subscription.is_live

    def open(self) -> None:
        self._subscription = self._post.subscribe(self._receive, self._changed)

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._post.unsubscribe(subscription)

    def _changed(self, is_live: bool) -> None:
        if is_live:
            self._look()


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


def carrier() -> Carrier | None:
    """Return what carries messages to other processes; None if nothing does."""
    layer = channel_layer.shared_layer()
    return _post() if layer is None else LayerCarrier(layer)


def next_departure(pace: Pace, now: float) -> tuple[Carrier, float] | None:
    """Return what carries the next message of a pace, and in how many seconds it may leave.

    Returns None if a message that leaves soon covers it, or if nothing carries messages.
    """
    # Most messages are covered, so look for the carrier only afterwards.
    found = None if pace.covers(now) else carrier()
    wait = None if found is None else pace.seconds_to_next(now)
    return None if found is None or wait is None else (found, wait)


def listener(
    channels: Mapping[str, Receive], groups: Mapping[str, Receive], look: Callable[[], None]
) -> Listener:
    """Return what receives the messages of other processes.

    Args:
        channels, groups: what to call with each message to them, in any thread.
        look: called when messages arrive again, as some may have been lost before.
    """
    if (post := notify_post()) is not None:
        return PostgresListener(post, {**channels, **groups}, look)
    return ChannelListener(channels, groups)


def is_available() -> bool:
    """Return whether a consumer of this process can get messages, if only its own."""
    return channel_layer.has_layer() or _post() is not None


def can_publish() -> bool:
    """Return whether a message from `publish` could reach anyone."""
    return channel_layer.can_publish() or _post() is not None


def publish(group: str, make: Make, after: float = 0.0) -> None:
    """Send a message to a group, of other processes and of this one, in ``after`` seconds."""
    found = carrier()
    if found is None:
        channel_layer.publish_here(group, make, after)
    elif channel_layer.can_publish_here():
        found.publish(group, partial(_also_here, group, make), after)
    else:
        found.publish(group, make, after)


def _also_here(group: str, make: Make) -> Mapping[str, Any]:
    message = make()
    channel_layer.publish_here(group, lambda: message)
    return message


async def broadcast(group: str, message: Mapping[str, Any]) -> None:
    """Send a message to a group. Does not wait for what carries it to other processes."""
    await channel_layer.broadcast_here(group, message)
    if (found := carrier()) is not None:
        found.publish(group, lambda: message)


def notify_post() -> NotifyPost | None:
    """Return what sends and receives by NOTIFY; None if a layer does, or the database cannot."""
    return None if channel_layer.shared_layer() is not None else _post()


def _post() -> NotifyPost | None:
    # In a test run of a project, a connection of ours would keep Django from deleting the
    # database.
    if is_in_a_test_run():
        return None
    connection = _connection()
    if not _notifies(connection):
        return None
    settings = connection.settings_dict
    key = tuple(settings[part] for part in ("HOST", "PORT", "NAME", "USER"))
    if (post := _posts.get(key)) is None:
        post = NotifyPost(type(connection), settings, connection.alias)
        post = _posts.setdefault(key, post)
    return post


def database_notifies() -> bool:
    """Return whether processes reach each other through the database, if no pooler prevents it."""
    return _notifies(_connection())


def _connection() -> Any:
    return connections[router.db_for_write(apps.get_model("sisy", "Task"))]


def _notifies(connection: Any) -> bool:
    # With psycopg 2, processes poll.
    return bool(connection.vendor == "postgresql" and connection.Database.__name__ == "psycopg")


def close() -> None:
    """Send what is waiting, and close the connections. Called when the process exits."""
    while _posts:
        _posts.popitem()[1].close(EXIT_TIMEOUT)


def _start_afresh() -> None:
    """Leave the connections and threads to the parent, in a forked child."""
    _posts.clear()


atexit.register(close)
after_fork_in_child(_start_afresh)
