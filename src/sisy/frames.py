"""Words over the pipe between a worker and its child process: pickled, framed and checked.

The two ends must not trust the pipe. Whatever the child's function does with file descriptors may
close the child's end, give its number to another file, or write to it. So the child compares the
file behind the number before it writes, and the worker reads what is there without waiting for the
rest of a word, which may never come.

This module is imported before Django is set up.
"""

import errno
import os
import pickle
import select
import struct
import sys
import time
import zlib
from multiprocessing.connection import Connection
from typing import Any

HEADER = struct.Struct("!4sII")  # the mark, the length and the checksum of what follows
MARK = b"SISY"
LONGEST = 64_000_000  # bytes; outcomes are capped far below
READ_LIMIT = 1 << 16
# What fits where a pipe says that it has room: Linux says so while three quarters are free.
WRITE_LIMIT = 1 << 15 if sys.platform == "linux" else 1 << 11


class Garbled(Exception):
    """Somebody else wrote to the pipe."""


class Writer:
    """The end of a pipe at which words are said."""

    def __init__(self, connection: Connection) -> None:
        self._number = connection.fileno()
        self._file = _file_behind(self._number)
        self._room = select.poll()
        self._room.register(self._number, select.POLLOUT)

    def send(self, word: Any, within: float | None = None) -> None:
        """Send a word.

        Args:
            within: for how many seconds to wait for the other end to read; None: for ever.

        Raises:
            TimeoutError: it has not; it may have read a part, and is of no use any more.
            OSError: the other end is gone, or the number now stands for no file or for another.
        """
        deadline = None if within is None else time.monotonic() + within
        if _file_behind(self._number) != self._file:
            raise OSError(errno.EBADF, "the pipe to the worker was closed")
        pickled = pickle.dumps(word)
        framed = HEADER.pack(MARK, len(pickled), zlib.crc32(pickled)) + pickled
        rest = memoryview(framed)
        while rest:
            self._wait_for_room(deadline)
            rest = rest[os.write(self._number, rest[:WRITE_LIMIT]) :]

    def _wait_for_room(self, deadline: float | None) -> None:
        """Wait until so much can be written that it does not block."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not self._room.poll(left):
            raise TimeoutError("the other end of the pipe reads nothing")


class Reader:
    """The end of a pipe at which words are heard."""

    def __init__(self, connection: Connection) -> None:
        self._number = connection.fileno()
        self._heard = bytearray()

    @property
    def is_empty(self) -> bool:
        """Return whether no part of a word has come that was not returned yet."""
        return not self._heard

    def word(self) -> Any:
        """Return the next word that has come in full; None if there is none.

        Raises:
            Garbled: what came is no word.
        """
        if len(self._heard) < HEADER.size:
            return None
        mark, length, checksum = HEADER.unpack_from(self._heard)
        if mark != MARK or length > LONGEST:
            raise Garbled
        end = HEADER.size + length
        if len(self._heard) < end:
            return None
        pickled = bytes(self._heard[HEADER.size : end])
        if zlib.crc32(pickled) != checksum:
            raise Garbled
        del self._heard[:end]
        return pickle.loads(pickled)

    def read(self) -> None:
        """Read what has come; call it when something has, since it would wait for it.

        Raises:
            EOFError: nothing more will come.
            OSError: the same.
        """
        heard = os.read(self._number, READ_LIMIT)
        if not heard:
            raise EOFError
        self._heard += heard


def _file_behind(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_dev, status.st_ino
