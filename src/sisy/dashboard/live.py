"""The WebSocket that tells a page what to refresh; the page fetches the changes itself."""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.db import connections
from django.http import HttpRequest

from sisy import conf
from sisy.dashboard.access import LOOK, configured
from sisy.dashboard.notified_groups import NotifiedGroups
from sisy.messaging import carriers, messages
from sisy.runtime.log import Outage, logger

MESSAGE_INTERVAL = 0.25  # seconds between two messages to one page
CHECKED_EVERY = 30.0  # seconds between two checks of the permission
CHECKED_AGAIN = 1.0  # seconds until the next check, if the database failed
MAX_SOURCES = 1000  # processes whose events are counted
REFUSED = 4403
TRY_LATER = 1013  # "try again later" in the registry of RFC 6455


def _groups() -> tuple[str, str]:
    """Return the groups whose messages concern dashboards."""
    return messages.EVENTS, conf.get_settings().heartbeat_channel


class FromPage(dict[str, Any]):
    """A message that the server passed on from the page, not one from the channel layer."""


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """Tells one page which kinds of data changed, at most four times a second.

    It sends no data of tasks or runs, and needs the permission to see the dashboard. If the user
    loses it or logs out, the socket closes within half a minute. While the permission cannot be
    checked, the socket sends nothing.
    """

    _notified: NotifiedGroups | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def receive_from_page() -> Any:
            return FromPage(await receive())

        try:
            await super().__call__(scope, receive_from_page, send)
        finally:
            if self._notified is not None:
                self._notified.leave()

    async def dispatch(self, message: Any) -> None:
        """Handle messages from the page, and two kinds of messages from the channel layer."""
        # Channels calls the method that a message's type names, such as "close", and ends the
        # socket if that raises. Messages from the layer must do neither.
        if isinstance(message, FromPage):
            await super().dispatch(message)
        else:
            self._on_message(message)

    def _on_message(self, message: Any) -> None:
        """Handle a message of another process."""
        if messages.is_event(message):
            self._on_event(message)
        elif messages.is_beat(message):
            self._on_beat(message)
        else:
            logger.warning("Ignored an unknown message: %.200r", message)

    async def connect(self) -> None:
        """Accept the socket, and close it if the user may not see the dashboard."""
        # Only an accepted socket can be closed with a code that the page can read.
        await self.accept()
        try:
            may_look = carriers.is_available() and await self._may_look()
        except Exception as error:  # noqa: BLE001 - whatever the session or the database raises
            logger.warning("Could not check the permissions of a dashboard WebSocket (%s)", error)
            await self.close(TRY_LATER)
            return
        if not may_look:
            await self.close(REFUSED)
            return
        self._seq = 0
        self._kinds: set[str] = set()
        self._beat: float | None = None
        self._next_seq: dict[str, int] = {}
        self._has_gap = False
        self._may_send = True
        self._timer: asyncio.Task[None] | None = None
        if not await self._join():
            await self.close(TRY_LATER)  # until then, the page polls
            return
        self._checking = asyncio.create_task(self._check())
        await self.send_json({"hello": True})

    async def disconnect(self, code: int) -> None:
        """Leave the groups."""
        if not hasattr(self, "_checking"):
            return
        self._checking.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await self._leave()

    async def _join(self) -> bool:
        """Subscribe to changes. Return False if no messages arrive."""
        if (post := carriers.notify_post()) is not None:
            self._notified = NotifiedGroups(post, _groups(), self._on_message, self._lost)
            return await self._notified.join()
        for group in _groups():
            await self.channel_layer.group_add(group, self.channel_name)
        return True

    async def _leave(self) -> None:
        if self._notified is not None:
            self._notified.leave()
        else:
            for group in _groups():
                await self.channel_layer.group_discard(group, self.channel_name)

    def _lost(self) -> None:
        """Close the socket, as no messages arrive: the page polls, and reconnects later."""
        self._closing = asyncio.ensure_future(self.close(TRY_LATER))

    async def websocket_receive(self, message: Any) -> None:
        """Ignore what the page sends."""

    def _on_event(self, message: Mapping[str, Any]) -> None:
        """Record that runs changed in a process. After a gap in its numbers, refresh all."""
        source, seq = message["source"], message["seq"]
        if seq != self._next_seq.pop(source, seq):
            self._has_gap = True
        self._next_seq[source] = seq + 1
        if len(self._next_seq) > MAX_SOURCES:  # forget the process that has been silent longest
            del self._next_seq[next(iter(self._next_seq))]
        # An older process knows only the first kind.
        is_output = message.get("kind") == messages.OUTPUT
        self._kinds.add(messages.OUTPUT if is_output else messages.RUNS)
        self._send_soon()

    def _on_beat(self, message: Mapping[str, Any]) -> None:
        self._beat = float(message["time"])
        self._kinds.add("beat")
        self._send_soon()

    def _send_soon(self) -> None:
        if self._timer is None and self._may_send:
            self._timer = asyncio.create_task(self._send())

    async def _send(self) -> None:
        await asyncio.sleep(MESSAGE_INTERVAL)
        self._timer = None
        if not self._may_send:
            return
        kinds, self._kinds = sorted(self._kinds), set()
        said: dict[str, Any] = {"seq": self._seq, "kinds": kinds}
        if self._beat is not None:
            said["beat"], self._beat = self._beat, None
        if self._has_gap:
            said["resync"], self._has_gap = True, False
        self._seq += 1
        try:
            await self.send_json(said)
        except Exception as error:  # noqa: BLE001 - each server has an error of its own for this
            logger.debug("A dashboard page disconnected during a message: %r", error)

    async def _check(self) -> None:
        """Check the permission regularly, and close the socket if it is gone."""
        outage = Outage("Checking the permissions of dashboard WebSockets")
        delay = CHECKED_EVERY
        while True:
            await asyncio.sleep(delay)
            try:
                may_look = await self._may_look()
            except Exception as error:  # noqa: BLE001 - the database may be away, or restarting
                outage.failed(error, "dashboards get no live updates until it succeeds")
                self._may_send, delay = False, CHECKED_AGAIN
                continue
            if not may_look:
                await self.close(REFUSED)
                return
            outage.recovered()
            self._may_send, delay = True, CHECKED_EVERY
            if self._kinds:
                self._send_soon()

    @database_sync_to_async
    def _may_look(self) -> bool:
        """Return whether the session's user may see the dashboard."""
        session = self.scope.get("session")
        if session is None or session.session_key is None:
            return False
        request = HttpRequest()
        # Read it again, because the scope has the session as it was when the socket was opened.
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(session.session_key)
        try:
            return configured().may(get_user(request), LOOK)
        finally:
            connections.close_all()  # each socket has its own, which would stay open
