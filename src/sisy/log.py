"""The log records of Sisy."""

import logging
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.utils.translation import ngettext

from sisy.escaping import escaped, escaped_lines
from sisy.foreign_errors import exc_info_of, name_of, traceback_of, words_of


class Escaping(logging.Filter):
    """Lets nothing that a log line names forge another line, or give orders to a terminal.

    The template stays as it is, so that error trackers can group by it, and so do ``exc_info`` and
    ``extra``. The lines of a traceback are indented: a line that an error's text forges is seen to
    belong to it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, Mapping):
            record.args = {name: _plain(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_plain, record.args))
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            lines = traceback_of(record.exc_info[1]).rstrip().split("\n")
            record.exc_text = "\n".join(f"  {escaped_lines(line)}" for line in lines)
        return True


class Plain:
    """An argument of a log line that is written without characters that are obeyed."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __str__(self) -> str:
        if issubclass(type(self._value), BaseException):
            return escaped(words_of(self._value))
        return escaped(self._value)

    def __repr__(self) -> str:
        return escaped(repr(self._value))


def _plain(value: Any) -> Any:
    return value if issubclass(type(value), int | float) else Plain(value)


class Contained(logging.LoggerAdapter[logging.Logger]):
    """A logger whose calls raise nothing, whatever a filter or handler of the project raises.

    Many of its calls are the last thing that a thread or loop of Sisy does about an error. As
    logging itself does with an Exception of a handler, it writes on standard error what failed.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        try:
            if not self.logger.isEnabledFor(level):
                return
            given: Any = kwargs.get("exc_info")
            if issubclass(type(given), BaseException):
                kwargs["exc_info"] = exc_info_of(given)
            # The call stands two frames further out, of which logging skips its own.
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            self.logger.log(level, msg, *args, **kwargs)
        except BaseException as error:
            if issubclass(type(error), KeyboardInterrupt):
                raise  # Ctrl-C
            with suppress(BaseException):
                sys.stderr.write(f"--- Logging error of Sisy ---\n{traceback_of(error)}")


def log_named(name: str) -> Contained:
    """Return a logger of Sisy's whose lines are escaped."""
    found = logging.getLogger(name)
    if not any(isinstance(one, Escaping) for one in found.filters):
        found.addFilter(Escaping())
    return Contained(found)


logger = log_named("sisy")


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL; of one that has none, its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Outage:
    """An outage of something that Sisy needs; logs one line when it begins and one when it ends.

    Args:
        what: the beginning of the log line, such as "The database".
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.failures = 0

    def failed(self, error: BaseException, meanwhile: str) -> None:
        """Note a failure; only the first of an outage is logged, with what happens meanwhile."""
        if not self.failures:
            logger.warning("%s failed (%s: %s); %s", self.what, name_of(error), error, meanwhile)
        self.failures += 1

    def recovered(self) -> None:
        """Note a success; the first one after an outage is logged."""
        if self.failures:
            times = ngettext("%d failure", "%d failures", self.failures) % self.failures
            logger.info("%s works again after %s", self.what, times)
            self.failures = 0
