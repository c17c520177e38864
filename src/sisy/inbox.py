"""Hands things from any thread to an event loop, which is woken once for many of them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from sisy.loop import running_loop

T = TypeVar("T")


class Inbox(Generic[T]):
    """Takes things from any thread; ``take`` gets them one after the other in ``loop``.

    To wake a loop costs as much as a short run. What comes in while it is being woken, or is busy,
    needs no further call. What comes in once the loop is closed is dropped.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[list[T]], None]) -> None:
        self._loop = loop
        self._take = take
        self._things: deque[T] = deque()
        self._is_called = False

    def put(self, thing: T) -> None:
        """Hand ``thing`` over; callable from any thread."""
        self._things.append(thing)
        if not self._is_called:
            self._is_called = True
            if running_loop() is self._loop:
                self._loop.call_soon(self._empty)
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._is_called = False  # first: what is put in from here on may be taken, or calls again
        things = [self._things.popleft() for _ in range(len(self._things))]
        if things:
            self._take(things)
