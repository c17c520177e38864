"""Give each run what its function prints and logs, and pass everything on as before.

A context variable says which run prints. So output belongs to its run in the function itself, in
coroutines and tasks of asyncio, and in threads that asyncio or asgiref start for it. What is
printed outside a run is only passed on.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from sisy import conf
from sisy.runtime import current
from sisy.runtime.compat import PassOn, watch_log_records
from sisy.runtime.journal import Journal
from sisy.runtime.user_errors import traceback_of

P = ParamSpec("P")
T = TypeVar("T")


class CapturedStream:
    """Standard output or error, which also adds what is written in a run to the run's journal."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: Any) -> Any:
        """Write text, as the stream does."""
        journal = _journal()
        if journal is None or not isinstance(text, str):
            return self.stream.write(text)
        # A plain copy: the methods of a subclass may do anything, and are called in threads of
        # ours.
        journal.write(str.__str__(text))
        return _pass_on(self.stream.write, text)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write several texts, as the stream does."""
        for line in lines:
            self.write(line)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Capture:
    """Counts the callers that capture in this process, and replaces the streams for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_logs = 0
        self._of_streams = 0

    @property
    def has_logs(self) -> bool:
        return self._of_logs > 0

    def begin(self, what: str) -> None:
        with self._lock:
            self._of_logs += what != conf.CAPTURE_OFF
            self._of_streams += what == conf.CAPTURE_ALL
            if self._of_logs:
                watch_log_records(_on_record)
            if self._of_streams:
                _wrap_streams()

    def end(self, what: str) -> None:
        with self._lock:
            self._of_logs -= what != conf.CAPTURE_OFF
            self._of_streams -= what == conf.CAPTURE_ALL
            if not self._of_streams:
                _unwrap_streams()


_capture = _Capture()


@contextmanager
def capturing() -> Iterator[None]:
    """Capture the output of runs in a ``with`` block, as ``SISY_CAPTURE`` says."""
    what = conf.get_settings().capture
    _capture.begin(what)
    try:
        yield
    finally:
        _capture.end(what)


class _Thread(threading.local):
    """The state of a thread: True while it passes on what is in the journal of its run."""

    passes_on = False


_thread = _Thread()


def _pass_on(write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Write a text that is in the journal already to where it goes without us."""
    # A stream may log what is written to it, as Celery's does, and handlers of logs write to
    # standard error. Without this, the run would keep the text twice.
    _thread.passes_on = True
    try:
        return write(*args, **kwargs)
    finally:
        _thread.passes_on = False


def _journal() -> Journal | None:
    """Return the journal to which to add what is written here; None outside a run."""
    run = current.variable.get(None)
    return None if run is None or _thread.passes_on else run.journal


def _on_record(record: logging.LogRecord, call_handlers: PassOn) -> None:
    """Add a log record to the journal of its run, and pass it on."""
    journal = _journal()
    if journal is None or not _capture.has_logs:
        call_handlers()
    else:
        journal.write(_line_of(record))
        _pass_on(call_handlers)


def _line_of(record: logging.LogRecord) -> str:
    """Return a log record as text. Never raises, whatever the project's own classes do."""
    for form in (_full_line_of, _short_line_of):
        # Handlers of logging, too, contain what a message or an argument raises.
        with suppress(Exception):
            return form(record)
    return "A log record could not be written as text.\n"


def _short_line_of(record: logging.LogRecord) -> str:
    return f"{record.levelname} {record.name}: {record.msg!s:.500}\n"


def _full_line_of(record: logging.LogRecord) -> str:
    # Not a Formatter of logging: it would store the text of the traceback on the record, where the
    # formatters of the project would find it instead of writing their own.
    clock = time.strftime("%H:%M:%S", time.localtime(record.created))
    line = f"{clock} {record.levelname} {record.name}: {record.getMessage()}\n"
    if record.exc_info and record.exc_info[1] is not None:
        line += traceback_of(record.exc_info[1]).rstrip() + "\n"
    if record.stack_info:
        line += f"{record.stack_info}\n"
    return line


def _wrap_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, CapturedStream):
            setattr(sys, name, CapturedStream(stream))


def _unwrap_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, CapturedStream):
            setattr(sys, name, stream.stream)
