"""The pipe between a process and the parent that supervises it.

The parent sends orders, and the child reports the keys under which it has registered. The child
also notices when the parent is gone, for whatever reason. Without a parent, there is no pipe.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

VARIABLE = "SISY_PARENT_PIPE"  # the environment variable with the child's file descriptor
STOP, HURRY = b"s", b"h"


class ParentPipe:
    """A child's end of the pipe."""

    # systemd sends a signal to the child and to its parent, and the parent passes it on. The child
    # must not take these for a first and a second request. So both raise the level to 1, and only
    # the parent raises it to 2.
    def __init__(self, end: socket.socket, stop: Callable[[], None]) -> None:
        self._end = end
        self._end.setblocking(False)
        self._stop = stop
        self._level = 0
        self._signals = 0
        self._parent_is_gone = False

    def listen(self) -> None:
        """Obey the parent's orders. Call it in the event loop."""
        asyncio.get_running_loop().add_reader(self._end, self._read_orders)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._end)
        self._end.close()

    def send(self, text: str) -> None:
        """Send a line to the parent, if it is still there."""
        with suppress(OSError):
            self._end.send(f"{text}\n".encode())

    def signalled(self) -> None:
        """Handle a signal to stop. A second one hurries only if the parent is gone."""
        self._signals += 1
        self._reach(2 if self._parent_is_gone and self._signals > 1 else 1)

    def _read_orders(self) -> None:
        try:
            orders = self._end.recv(100)
        except BlockingIOError:
            return
        except OSError:
            orders = b""
        if not orders:
            self._parent_is_gone = True
            asyncio.get_running_loop().remove_reader(self._end)
        self._reach(2 if HURRY in orders else 1)

    def _reach(self, level: int) -> None:
        while self._level < level:
            self._level += 1
            self._stop()


_pipe: ParentPipe | None = None


def open_to_parent(stop: Callable[[], None]) -> ParentPipe | None:
    """Return this process's end of the pipe; None if no parent supervises it."""
    global _pipe
    number = os.environ.pop(VARIABLE, "")
    if not number:
        return None
    end = socket.socket(fileno=int(number))
    # This process's own children must not inherit it: they would keep it open.
    end.set_inheritable(False)
    _pipe = ParentPipe(end, stop)
    return _pipe


def report_to_parent(process_pk: int) -> None:
    """Send the parent, if there is one, the key under which this process has registered."""
    if _pipe is not None:
        _pipe.send(str(process_pk))
