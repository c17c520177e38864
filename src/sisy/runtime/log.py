"""Sisy's loggers: escaped, never raising, and quiet during an outage."""

import logging
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.utils.translation import ngettext

from sisy.runtime.escaping import escaped, escaped_lines
from sisy.runtime.user_errors import (
    exc_info_of,
    is_ctrl_c,
    name_of,
    traceback_of,
    words_of,
)


class EscapingFilter(logging.Filter):
    """A filter that escapes arguments and tracebacks, so that they cannot forge log lines."""

    # The template stays as it is, so that error trackers can group by it. So do ``exc_info`` and
    # ``extra``. The lines of a traceback are indented, so that a line forged by an error's message
    # visibly belongs to it.
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, Mapping):
            record.args = {name: _plain(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_plain, record.args))
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            lines = traceback_of(record.exc_info[1]).rstrip().split("\n")
            record.exc_text = "\n".join(f"  {escaped_lines(line)}" for line in lines)
        return True


class EscapedArgument:
    """An argument of a log line, escaped when it is formatted."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __str__(self) -> str:
        if issubclass(type(self._value), BaseException):
            return escaped(words_of(self._value))
        return escaped(self._value)

    def __repr__(self) -> str:
        return escaped(repr(self._value))


def _plain(value: Any) -> Any:
    return value if issubclass(type(value), int | float) else EscapedArgument(value)


class SafeLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that never raises, whatever a filter or handler of the project raises.

    It writes such errors to standard error, as logging does for handlers.
    """

    # Threads and loops of Sisy log errors as the last step of handling them, so an error here
    # would end them.
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        try:
            if not self.logger.isEnabledFor(level):
                return
            given: Any = kwargs.get("exc_info")
            if issubclass(type(given), BaseException):
                kwargs["exc_info"] = exc_info_of(given)
            # The caller is two frames further out, and logging skips one frame by itself.
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            self.logger.log(level, msg, *args, **kwargs)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            with suppress(BaseException):
                sys.stderr.write(f"--- Sisy could not write to its log ---\n{traceback_of(error)}")


def log_named(name: str) -> SafeLogger:
    """Return a logger whose lines are escaped and whose calls never raise."""
    found = logging.getLogger(name)
    if not any(isinstance(one, EscapingFilter) for one in found.filters):
        found.addFilter(EscapingFilter())
    return SafeLogger(found)


logger = log_named("sisy")


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL, or its number if it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Outage:
    """An outage of something that Sisy needs; logs one line when it begins and one when it ends.

    Args:
        what: the beginning of the log line, such as "The database".
        calm: the seconds without a failure until it has ended. They keep something that fails
            now and then from filling the log.
    """

    def __init__(self, what: str, calm: float = 0.0) -> None:
        self.what = what
        self.failures = 0
        self._calm = calm
        self._failed_at = 0.0

    def failed(self, error: BaseException, meanwhile: str) -> None:
        """Note a failure. Only the first one of an outage is logged.

        Args:
            meanwhile: what Sisy does about it, such as "retrying".
        """
        if not self.failures:
            cause = ": ".join(filter(None, (name_of(error), words_of(error))))
            logger.warning("%s failed (%s); %s", self.what, cause, meanwhile)
        self.failures += 1
        self._failed_at = time.monotonic()

    def recovered(self) -> None:
        """Note a success. Only the one that ends an outage is logged."""
        if self.failures and time.monotonic() - self._failed_at >= self._calm:
            times = ngettext("%d failure", "%d failures", self.failures) % self.failures
            logger.info("%s works again after %s", self.what, times)
            self.failures = 0
