"""Receive the messages to groups that arrive by PostgreSQL's NOTIFY, in an event loop."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from sisy.messaging.notify_post import NotifyPost, Subscription

JOIN_TIMEOUT = 8.0  # seconds until messages arrive, which is tried once in that time


class NotifiedGroups:
    """Passes on the messages to some groups. Use it in one event loop.

    Args:
        receive: called with each message.
        lost: called if messages no longer arrive.
    """

    def __init__(
        self,
        post: NotifyPost,
        groups: Iterable[str],
        receive: Callable[[Any], object],
        lost: Callable[[], object],
    ) -> None:
        self._post = post
        self._receive = dict.fromkeys(groups, partial(self._call_in_loop, receive))
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._is_live = asyncio.Event()
        self._subscription: Subscription | None = None

    async def join(self) -> bool:
        """Subscribe. Return False if no messages arrive."""
        changed = partial(self._call_in_loop, self._changed)
        self._subscription = self._post.subscribe(self._receive, changed, receives_own=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(JOIN_TIMEOUT):
                await self._is_live.wait()
        return self._is_live.is_set()

    def leave(self) -> None:
        """Unsubscribe. May be called more than once."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._post.unsubscribe(subscription)

    def _changed(self, is_live: bool) -> None:
        if is_live:
            self._is_live.set()
        elif self._subscription is not None:
            self._lost()

    def _call_in_loop(self, step: Callable[[Any], object], value: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(step, value)
