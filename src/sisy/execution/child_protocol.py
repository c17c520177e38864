"""The messages between a worker and a child process, and how they travel over their pipe."""

import errno
import os
import pickle
import select
import struct
import sys
import time
import zlib
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any

from sisy.records.outcome import Outcome
from sisy.runtime.journal import Report

EXIT_CANNOT_REPORT = 74  # the exit code of a child that could not report an outcome: EX_IOERR
HEADER = struct.Struct("!4sII")  # the mark, and the length and checksum of the message
MARK = b"SISY"
MAX_MESSAGE_BYTES = 64_000_000  # bytes; outcomes are limited to much less
READ_LIMIT = 1 << 16
# Bytes that always fit when poll() reports room. Linux reports it while three quarters of a pipe
# are free.
WRITE_LIMIT = 1 << 15 if sys.platform == "linux" else 1 << 11


@dataclass(frozen=True, slots=True)
class Execute:
    """To the child: execute a run.

    Attributes:
        number: counts the orders to this child, from 1.
        run: the pickled run.
        now: the current time.
    """

    number: int
    # Pickled separately, so that a run that cannot be unpickled fails like any other.
    run: bytes
    now: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the child: cancel the current run."""

    run_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """To an idle child: exit."""


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: the outcome of the run, and the child's memory in bytes."""

    outcome: Outcome
    memory: int


@dataclass(frozen=True, slots=True)
class ReportSoFar:
    """From the child: all that the current run has printed and reported so far."""

    report: Report


class InvalidData(Exception):
    """Something other than a message was written to the pipe."""


class Writer:
    """The end of a pipe that sends messages."""

    def __init__(self, connection: Connection) -> None:
        self._number = connection.fileno()
        self._file = _file_behind(self._number)
        self._room = select.poll()
        self._room.register(self._number, select.POLLOUT)

    def send(self, message: Any, within: float | None = None) -> None:
        """Send a message.

        Args:
            within: the seconds to wait for the other end to read; None for no limit.

        Raises:
            TimeoutError: the other end did not read. It may have read a part, so the pipe is
                unusable.
            OSError: the other end is gone, or the file descriptor was closed or reused.
        """
        deadline = None if within is None else time.monotonic() + within
        if _file_behind(self._number) != self._file:
            raise OSError(errno.EBADF, "the pipe to the worker was closed")
        pickled = pickle.dumps(message)
        framed = HEADER.pack(MARK, len(pickled), zlib.crc32(pickled)) + pickled
        rest = memoryview(framed)
        while rest:
            self._wait_for_room(deadline)
            rest = rest[os.write(self._number, rest[:WRITE_LIMIT]) :]

    def _wait_for_room(self, deadline: float | None) -> None:
        """Wait until `WRITE_LIMIT` bytes can be written without blocking."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not self._room.poll(left):
            raise TimeoutError("the other end of the pipe is not reading")


class Reader:
    """The end of a pipe that receives messages."""

    def __init__(self, connection: Connection) -> None:
        self._number = connection.fileno()
        self._buffer = bytearray()

    @property
    def is_empty(self) -> bool:
        """True if no part of a message is buffered."""
        return not self._buffer

    def next_message(self) -> Any:
        """Return the next complete message; None if there is none.

        Raises:
            InvalidData: the data is not a message.
        """
        if len(self._buffer) < HEADER.size:
            return None
        mark, length, checksum = HEADER.unpack_from(self._buffer)
        if mark != MARK or length > MAX_MESSAGE_BYTES:
            raise InvalidData
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        pickled = bytes(self._buffer[HEADER.size : end])
        if zlib.crc32(pickled) != checksum:
            raise InvalidData
        del self._buffer[:end]
        return pickle.loads(pickled)

    def read(self) -> None:
        """Read the data that has arrived. Blocks if there is none.

        Raises:
            EOFError, OSError: there will be no more data.
        """
        arrived = os.read(self._number, READ_LIMIT)
        if not arrived:
            raise EOFError
        self._buffer += arrived


def _file_behind(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_dev, status.st_ino
