"""Pass items from any thread to an event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from sisy.runtime.loop import running_loop

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue for an event loop: ``take`` is called in ``loop`` with the items, in order.

    Items that arrive after the loop is closed are dropped.
    """

    # Waking a loop costs as much as a short run. Items that arrive while it is being woken, or is
    # busy, do not wake it again.
    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[list[T]], None]) -> None:
        self._loop = loop
        self._take = take
        self._items: deque[T] = deque()
        self._is_called = False

    def put(self, item: T) -> None:
        """Add an item. Thread-safe."""
        self._items.append(item)
        if not self._is_called:
            self._is_called = True
            if running_loop() is self._loop:
                self._loop.call_soon(self._empty)
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        # First, so that an item that arrives from here on is taken below or wakes the loop again.
        self._is_called = False
        items = [self._items.popleft() for _ in range(len(self._items))]
        if items:
            self._take(items)
