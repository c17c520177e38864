"""The progress of a long command: a bar by rich on a terminal, or a line now and then."""

import time
from contextlib import ExitStack
from typing import Any, TextIO

LINE_INTERVAL = 2.0  # seconds, where there is no bar


class Progress:
    """Shows on standard error how far work is, in a ``with`` block; nothing where it is quiet.

    Args:
        stream: standard error; a bar needs it to be a terminal that can move its cursor.
        what: what is being done, such as "Deleting runs".
        total: how much there is to do, in any unit.
        is_quiet: whether nobody wants to know.
    """

    def __init__(self, stream: TextIO, what: str, total: float, *, is_quiet: bool) -> None:
        self._stream = stream
        self._what = what
        self._total = max(total, 1)
        self._is_quiet = is_quiet
        self._stack = ExitStack()
        self._bar: Any = None
        self._said_at = time.monotonic()

    def __enter__(self) -> "Progress":
        if not self._is_quiet and self._stream.isatty():
            self._bar = self._bar_by_rich()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def reach(self, done: float, words: str) -> None:
        """Show that so much is done, and say it in words."""
        if self._is_quiet:
            return
        if self._bar is not None:
            self._bar(min(done, self._total), words)
        elif time.monotonic() - self._said_at >= LINE_INTERVAL:
            self._said_at = time.monotonic()
            percent = min(100, round(100 * done / self._total))
            self._stream.write(f"{self._what}: {percent}%, {words}\n")

    def _bar_by_rich(self) -> Any:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars
        except ImportError:
            return None
        console = Console(file=self._stream)
        # TERM=dumb or unknown, as in Emacs and many CI systems. rich draws no bar there until the
        # work is done; lines tell of it in time.
        if console.is_dumb_terminal:
            return None
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(),
        )
        bars = self._stack.enter_context(Bars(*columns, console=console, transient=True))
        bar = bars.add_task(self._what, total=self._total, words="")
        return lambda done, words: bars.update(bar, completed=done, words=words)
