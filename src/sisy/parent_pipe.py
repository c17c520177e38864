"""The line between a process and the parent that supervises it.

The parent gives orders by it, and hears by it under which names the child signed on. A child whose
parent is gone hears that, too, whatever ended the parent. Without a parent, nothing happens here.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

VARIABLE = "SISY_PARENT_PIPE"  # names the child's end: the number of an open file
STOP, HURRY = b"s", b"h"


class ParentPipe:
    """A child's end of the line.

    A supervisor of the whole group, such as systemd, sends a signal to the child and its parent,
    and the parent passes it on: the child must not take the two for a first and a second one.
    """

    def __init__(self, end: socket.socket, stop: Callable[[], None]) -> None:
        self._end = end
        self._end.setblocking(False)
        self._stop = stop
        self._level = 0
        self._signals = 0
        self._parent_is_gone = False

    def listen(self) -> None:
        """Do what the parent says; call it in the event loop."""
        asyncio.get_running_loop().add_reader(self._end, self._hear)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._end)
        self._end.close()

    def tell(self, text: str) -> None:
        """Tell the parent, if it is still there."""
        with suppress(OSError):
            self._end.send(f"{text}\n".encode())

    def signalled(self) -> None:
        """Stop; it takes the parent to hurry, unless that is gone."""
        self._signals += 1
        self._reach(2 if self._parent_is_gone and self._signals > 1 else 1)

    def _hear(self) -> None:
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
    """Return this process's end of the line, and keep it from its own children; None if there is
    no parent that supervises it.
    """
    global _pipe
    number = os.environ.pop(VARIABLE, "")
    if not number:
        return None
    end = socket.socket(fileno=int(number))
    end.set_inheritable(False)
    _pipe = ParentPipe(end, stop)
    return _pipe


def tell_parent(process_pk: int) -> None:
    """Tell the parent, if there is one, under which key this process has signed on."""
    if _pipe is not None:
        _pipe.tell(str(process_pk))
