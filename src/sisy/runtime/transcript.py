"""The text that an attempt prints, of which only the beginning and the end are kept."""

from collections import deque
from collections.abc import Callable

HEAD_LIMIT = 16_384  # bytes
TAIL_LIMIT = 49_152
COMPACT_AT = 65_536  # characters


class Transcript:
    """Keeps the first 16 kB and the last 48 kB of a text, in UTF-8. Counts all of its bytes.

    Attributes:
        written: how many bytes have been added, as of the last `compact`.
    """

    __slots__ = ("_count", "_head", "_head_is_full", "_pieces", "_tail", "written")

    # Whatever prints may do so from several threads, in a signal handler, or in a process that
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
        while pieces:
            self._append(_encoded(pieces.popleft()))

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
        """The end of the text behind `head`; there is a gap if both are shorter than the text."""
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
