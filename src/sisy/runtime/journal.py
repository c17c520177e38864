"""The output and progress of an attempt, collected until they are stored."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sisy.runtime.progress import Progress

Noted = Callable[["Journal"], None]
HEAD_LIMIT = 16_384  # bytes
TAIL_LIMIT = 49_152
COMPACT_AT = 65_536  # characters


@dataclass(frozen=True, slots=True)
class Report:
    """The output and progress of an attempt up to a moment.

    Attributes:
        head: the beginning of the text.
        tail: the end of the text after ``head``.
        written: how many bytes it has printed, including those between head and tail.
        progress: its latest progress; None if it has reported none.
    """

    head: str = ""
    tail: str = ""
    written: int = 0
    progress: Progress | None = None

    def __len__(self) -> int:
        """Return how many characters it has."""
        return len(self.head) + len(self.tail)


class Journal:
    """Collects the output and the progress of an attempt. Thread-safe; its memory is bounded.

    Args:
        run: the run to which it belongs.
        noted: called when there is something new, once until the next `take`. Must not block.
    """

    __slots__ = (
        "_is_closed",
        "_is_new",
        "_lock",
        "_noted",
        "_progress",
        "_report",
        "_transcript",
        "run",
    )

    def __init__(self, run: Any = None, noted: Noted | None = None) -> None:
        self.run = run
        self._noted = noted
        self._is_new = False
        self._is_closed = False
        self._transcript = Transcript()
        self._progress: Progress | None = None
        self._report: Report | None = None
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Add text that the attempt has printed or logged."""
        if self._is_closed or not text:
            return
        self._transcript.add(text, self._compact)
        if not self._is_new:
            self._note()

    def advance(self, done: float, total: float | None, message: str) -> None:
        """Note how far the attempt is."""
        if self._is_closed:
            return
        self._progress = Progress(done, total, message, time.monotonic())
        if not self._is_new:
            self._note()

    def adopt(self, report: Report) -> None:
        """Take over what the same attempt has reported in a child process."""
        self._report = report
        if not self._is_new:
            self._note()

    def take(self) -> Report | None:
        """Return all that the attempt has reported; None if nothing is new, or it has ended."""
        with self._lock:
            if self._is_closed or not self._is_new:
                return None
            # Reset it first: what is added from here on is noted again.
            self._is_new = False
            return self._snapshot()

    def put_back(self) -> None:
        """Note again what `take` returned, because it could not be stored."""
        if not self._is_closed and not self._is_new:
            self._note()

    def close(self) -> Report | None:
        """End the journal, and return all that the attempt has reported; None if that is nothing.

        May be called again.
        """
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._report = self._snapshot()
                self._transcript = Transcript()  # its memory is free while the report is stored
            return self._report

    def _note(self) -> None:
        self._is_new = True
        if self._noted is not None:
            self._noted(self)

    def _compact(self) -> None:
        # If it is being compacted, the text waits for the next time.
        if self._lock.acquire(blocking=False):
            try:
                self._transcript.compact()
            finally:
                self._lock.release()

    def _snapshot(self) -> Report | None:
        transcript, progress = self._transcript, self._progress
        transcript.compact()
        if not transcript.written and progress is None:
            return self._report
        return Report(transcript.head, transcript.tail, transcript.written, progress)


class Transcript:
    """Keeps the first 16 kB and the last 48 kB of a text, in UTF-8. Counts all of its bytes.

    Attributes:
        written: how many bytes have been added, as of the last `compact`.
    """

    __slots__ = ("_count", "_head", "_head_is_full", "_pieces", "_tail", "written")

    # Code may print from several threads, in a signal handler, or in a process that
    # another thread forks at this moment. So `add` takes no lock: a deque's methods are atomic.
    def __init__(self) -> None:
        self._pieces: deque[str] = deque()
        self._count = 0
        self._head = b""
        self._tail = b""
        self._head_is_full = False
        self.written = 0

    def add(self, text: str, compact: Callable[[], object]) -> None:
        """Add text at the end.

        Args:
            compact: called if much text has been added since the last `compact`, which it calls.
        """
        self._pieces.append(text)
        self._count += len(text)
        if self._count > COMPACT_AT:
            compact()

    def compact(self) -> None:
        """Drop the middle of the text. Only one thread may call it at a time."""
        self._count = 0
        pieces = self._pieces
        # At once: print() writes several short pieces for each line, and each addition copies the
        # tail. Others may add more meanwhile.
        taken = [pieces.popleft() for _ in range(len(pieces))]
        if taken:
            self._append(_encoded("".join(taken)))

    def _append(self, added: bytes) -> None:
        self.written += len(added)
        if not self._head_is_full:
            whole = self._head + added
            if len(whole) <= HEAD_LIMIT:
                self._head = whole
                return
            self._head_is_full = True
            end = _start_of_character(whole, HEAD_LIMIT)
            self._head, added = whole[:end], whole[end:]
        self._tail = (self._tail + added[-TAIL_LIMIT:])[-TAIL_LIMIT:]

    @property
    def head(self) -> str:
        """The beginning of the text."""
        return self._head.decode()

    @property
    def tail(self) -> str:
        """The end of the text after `head`; there is a gap if both are shorter than the text."""
        begin = 0
        while begin < len(self._tail) and _continues(self._tail[begin]):
            begin += 1
        return self._tail[begin:].decode()


def _encoded(text: str) -> bytes:
    """Return a text in UTF-8, with what databases reject escaped: NUL and lone surrogates."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace")


def _start_of_character(data: bytes, place: int) -> int:
    """Return the place where the character at ``place`` begins."""
    while _continues(data[place]):
        place -= 1
    return place


def _continues(byte: int) -> bool:
    """Return whether a byte of UTF-8 continues a character."""
    return byte & 0xC0 == 0x80
