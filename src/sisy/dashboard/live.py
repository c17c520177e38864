"""The socket on which a page hears that something changed; what changed, it asks for itself."""

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

from sisy import conf, messages
from sisy.dashboard.mounting import LOOK, configured
from sisy.log import logger

APART = 0.25  # seconds between two messages to one page
CHECKED_EVERY = 30.0  # seconds between two looks whether somebody may still look
REFUSED = 4403


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """Tells one page which kinds of things changed, at most four times a second.

    It carries no data of tasks or runs. Whoever may look at the tasks may listen; a right that is
    taken away, or a session that ends, ends the socket within half a minute.
    """

    async def connect(self) -> None:
        """Let in whoever may look. A refusal is told after accepting, so that pages hear why."""
        await self.accept()
        if self.channel_layer is None or not await self._may_look():
            await self.close(REFUSED)
            return
        self._seq = 0
        self._kinds: set[str] = set()
        self._beat: float | None = None
        self._heard: dict[str, int] = {}
        self._has_gap = False
        self._timer: asyncio.Task[None] | None = None
        for group in (messages.EVENTS, conf.get_settings().heartbeat_channel):
            await self.channel_layer.group_add(group, self.channel_name)
        self._checking = asyncio.create_task(self._check())
        await self.send_json({"hello": True})

    async def disconnect(self, code: int) -> None:
        """Leave the groups."""
        if not hasattr(self, "_checking"):
            return
        self._checking.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for group in (messages.EVENTS, conf.get_settings().heartbeat_channel):
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, *args: Any, **kwargs: Any) -> None:
        """Pages have nothing to say."""

    async def sisy_event(self, message: Mapping[str, Any]) -> None:
        """Runs changed in some process; one whose message was lost has everything looked at."""
        source, seq = str(message.get("source")), int(message.get("seq", 0))
        if seq != self._heard.get(source, seq):
            self._has_gap = True
        self._heard[source] = seq + 1
        self._kinds.add("runs")
        self._send_soon()

    async def sisy_heartbeat(self, message: Mapping[str, Any]) -> None:
        """The heartbeat beat."""
        self._beat = float(message.get("time", 0))
        self._kinds.add("beat")
        self._send_soon()

    def _send_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.create_task(self._send())

    async def _send(self) -> None:
        await asyncio.sleep(APART)
        self._timer = None
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
            logger.debug("A page has gone while it was told something: %r", error)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECKED_EVERY)
            if not await self._may_look():
                await self.close(REFUSED)
                return

    @database_sync_to_async
    def _may_look(self) -> bool:
        """Whether the session is still somebody's, and he may look at tasks."""
        session = self.scope.get("session")
        if session is None or session.session_key is None:
            return False
        request = HttpRequest()
        # Read anew, since the scope's own stays as it was when the socket was opened.
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(session.session_key)
        try:
            return configured().may(get_user(request), LOOK)
        finally:
            connections.close_all()  # each socket has some of its own, which would stay open
