"""The progress of a long command: a bar on a terminal, or a line every two seconds."""

import time
from contextlib import ExitStack
from typing import Any, TextIO

LINE_INTERVAL = 2.0  # seconds between two lines, without a bar


class Progress:
    """A context manager that shows progress on standard error.

    Args:
        stream: standard error. A bar needs a terminal that can move its cursor.
        what: the activity, such as "Deleting runs".
        total: the amount of work, in any unit.
        is_quiet: whether to show nothing.
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
        """Show that ``done`` of the total is done, with a text."""
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
        # TERM=dumb or unknown, as in Emacs and many CI systems: rich would draw the bar only when
        # the work is done. Lines appear in time.
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
