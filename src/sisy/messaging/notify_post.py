"""LISTEN and NOTIFY: the messages of processes through PostgreSQL, without a channel layer.

Each process has one thread with one connection of its own, which both sends and receives. It is
opened when it is first needed. A connection that only sends is closed after a minute without a
message. So no transaction of the project has a NOTIFY in it, which would take a lock on the whole
server at its commit, and no thread of the project waits for the database.

A message that waits to be sent is replaced by the next one to the same channel. After an error,
the thread connects again at growing intervals, and then tells its subscribers to look for what
they have missed.
"""

import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.messaging import messages
from sisy.messaging.messages import MEANWHILE, Receive
from sisy.messaging.notify_session import NotHeard, Notice, NotifySession
from sisy.messaging.pending_message import Make, PendingMessage, made
from sisy.runtime.log import Outage, logger
from sisy.runtime.loop import retry_delay

IDLE_SECONDS = 60.0  # without a message, until a connection that does not listen is closed
PROBE_SECONDS = 30.0  # between two probes of a connection that listens
DEAF_SECONDS = 60.0  # until a process that signals do not reach tries to listen again


@dataclass(eq=False, slots=True)
class Subscription:
    """The functions that receive the messages of some channels.

    Attributes:
        receive: the function for each channel.
        on_change: called with True once messages arrive, and with False when they no longer do.
        receives_own: whether it also gets what this process has sent.
        is_live: whether messages arrive.
    """

    receive: Mapping[str, Receive]
    on_change: Callable[[bool], object]
    receives_own: bool
    is_live: bool = False


class NotifyPost:
    """Sends and receives messages in a thread. All methods are thread-safe.

    Args:
        backend: the class of Django's connections to the database.
        settings: the entry of ``DATABASES``.
    """

    reaches_all = True

    def __init__(
        self, backend: type[BaseDatabaseWrapper], settings: Mapping[str, Any], alias: str
    ) -> None:
        self._open = partial(NotifySession, backend, settings, alias)
        self._lock = threading.Lock()
        self._pending: dict[str, PendingMessage] = {}
        self._subscriptions: list[Subscription] = []
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._session: NotifySession | None = None
        self._outage = Outage("PostgreSQL LISTEN/NOTIFY")
        self._deafness = Outage("Listening to PostgreSQL")
        self._retry_at = self._deaf_until = self._probe_at = self._idle_at = 0.0

    def send(self, channel: str, make: Make, after: float = 0.0) -> "Future[None]":
        """Send a message in ``after`` seconds. The future is done when it was sent.

        A message that cannot be created is logged and dropped.
        """
        name = messages.notify_name(channel)
        send_at = time.monotonic() + after
        with self._lock:
            if (message := self._pending.get(name)) is None:
                message = self._pending[name] = PendingMessage(make, send_at)
            else:
                message.make, message.send_at = make, min(message.send_at, send_at)
            self._begin()
        self._wake()
        return message.sent

    def publish(self, group: str, make: Make, after: float = 0.0) -> None:
        """Send a message to all members of a group, in ``after`` seconds."""
        self.send(group, make, after)

    def subscribe(
        self,
        receive: Mapping[str, Receive],
        on_change: Callable[[bool], object],
        *,
        receives_own: bool = False,
    ) -> Subscription:
        """Receive the messages of channels, until `unsubscribe`. See `Subscription`."""
        by_name = {messages.notify_name(channel): step for channel, step in receive.items()}
        subscription = Subscription(by_name, on_change, receives_own)
        with self._lock:
            self._subscriptions.append(subscription)
            self._begin()
        self._wake()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Receive no more messages."""
        with self._lock:
            self._subscriptions.remove(subscription)
        self._wake()

    def close(self, seconds: float) -> None:
        """Send what is waiting, for at most ``seconds``, and close the connection."""
        with self._lock:
            thread, self._is_closing = self._thread, True
        if thread is not None:
            self._wake()
            thread.join(seconds)

    def _begin(self) -> None:
        if self._thread is None:
            self._heard, self._waker = socket.socketpair()
            self._heard.setblocking(False)
            self._waker.setblocking(False)
            thread = threading.Thread(target=self._serve, name="sisy-notify", daemon=True)
            thread.start()
            self._thread = thread

    def _wake(self) -> None:
        with suppress(OSError):  # it is full, so the thread wakes up in any case; or it has ended
            self._waker.send(b".")

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector, self._heard, self._waker:
            selector.register(self._heard, selectors.EVENT_READ)
            while not self._has_ended():
                self._pass(selector)
            self._drop_session()

    def _has_ended(self) -> bool:
        with self._lock:
            return self._is_closing and not self._pending

    def _pass(self, selector: selectors.BaseSelector) -> None:
        """Do what there is to do now, and wait until there is more."""
        try:
            self._work(time.monotonic())
            self._wait(selector)
        except NotHeard as error:
            self._drop_session()
            self._deaf_until = time.monotonic() + DEAF_SECONDS
            self._deafness.failed(error, "polling instead")
        except Exception as error:  # noqa: BLE001 - the border around our own steps
            self._drop_session()
            # The server may have closed a connection that is of no use any more.
            if self._is_needed(now := time.monotonic()):
                # A connection may have been lost long ago, so the first retry is made at once.
                failures = self._outage.failures
                delay = retry_delay(failures - 1) * random.uniform(0.5, 1) if failures else 0.0
                self._retry_at = now + delay
                self._outage.failed(error, MEANWHILE)

    def _work(self, now: float) -> None:
        if now < self._retry_at or (self._session is None and not self._is_needed(now)):
            return
        if self._session is None:
            self._session = self._open()
            self._idle_at = now + IDLE_SECONDS
        self._send_pending(self._session, now)
        self._listen(self._session, now)
        self._deliver(self._session.received())
        if not self._session.channels and now >= self._idle_at:
            self._drop_session()

    def _send_pending(self, session: NotifySession, now: float) -> None:
        with self._lock:
            due = {name: one for name, one in self._pending.items() if one.send_at <= now}
            for name in due:
                del self._pending[name]
        made_now = [(name, made(name, one.make, messages.to_payload)) for name, one in due.items()]
        payloads = [(name, payload) for name, payload in made_now if payload is not None]
        for name in due.keys() - dict(payloads):
            due.pop(name).sent.set_result(None)
        if not due:
            return
        try:
            session.notify(payloads)
        except Exception:
            with self._lock:
                self._pending = {**due, **self._pending}
            raise
        self._idle_at = now + IDLE_SECONDS
        self._outage.recovered()
        for message in due.values():
            message.sent.set_result(None)

    def _listen(self, session: NotifySession, now: float) -> None:
        """Listen to the channels of the subscriptions, and check that messages arrive."""
        with self._lock:
            subscriptions = list(self._subscriptions) if now >= self._deaf_until else []
        wanted = {name for one in subscriptions for name in one.receive}
        if wanted != session.channels:
            session.listen_to(wanted)
            self._probe_at = now + PROBE_SECONDS
        elif wanted and now >= self._probe_at:
            session.probe()
            self._probe_at = now + PROBE_SECONDS
        if wanted:
            self._outage.recovered()
            self._deafness.recovered()
        for one in subscriptions:
            _set_live(one, True)

    def _deliver(self, notices: list[Notice]) -> None:
        with self._lock:
            subscriptions = list(self._subscriptions)
        for notice in notices:
            message = messages.from_payload(notice.payload)
            for one in subscriptions:
                receive = one.receive.get(notice.channel)
                if receive is not None and (one.receives_own or not notice.is_own):
                    _call(receive, message)

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
        with self._lock:
            subscriptions = list(self._subscriptions)
        for one in subscriptions:
            _set_live(one, False)

    def _is_needed(self, now: float) -> bool:
        with self._lock:
            wants_to_listen = bool(self._subscriptions) and now >= self._deaf_until
            return wants_to_listen or any(one.send_at <= now for one in self._pending.values())

    def _wait(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        session = self._session
        if session is not None:
            selector.register(session, selectors.EVENT_READ)
        try:
            moments = list(self._moments(now))
            selector.select(max(0.0, min(moments) - now) if moments else None)
        finally:
            if session is not None:
                selector.unregister(session)
        with suppress(BlockingIOError):
            self._heard.recv(4096)

    def _moments(self, now: float) -> Iterator[float]:
        """Yield the moments at which there will be something to do, unless the thread is woken."""
        if self._has_ended():
            yield now
        with self._lock:
            for message in self._pending.values():
                yield max(message.send_at, self._retry_at)
            if self._subscriptions and self._session is None:
                yield max(self._retry_at, self._deaf_until)
            elif self._subscriptions and not self._session_listens:
                yield self._deaf_until
        if self._session is not None:
            yield self._probe_at if self._session_listens else self._idle_at

    @property
    def _session_listens(self) -> bool:
        return self._session is not None and bool(self._session.channels)


def _set_live(subscription: Subscription, is_live: bool) -> None:
    if subscription.is_live != is_live:
        subscription.is_live = is_live
        _call(subscription.on_change, is_live)


def _call(step: Callable[[Any], object], value: Any) -> None:
    try:
        step(value)
    except Exception:  # noqa: BLE001 - the other subscribers must receive, too
        logger.exception("Could not deliver a PostgreSQL notification")
