"""The output of commands: tables for people, or JSON for programs."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    SystemCheckError,
)
from django.db import OperationalError, ProgrammingError

from sisy import conf
from sisy.exceptions import SettingsError
from sisy.management.table import AtLeast, description, table, wrapped
from sisy.runtime.escaping import escaped, escaped_json

UNREACHABLE = 3  # the exit code if the database cannot be queried
READER_GONE = 128 + 13  # the exit code that shells give a program that SIGPIPE ends

UNLIMITED = 1000  # characters of a line that is not shown on a terminal
STYLES = {"good": "SUCCESS", "bad": "ERROR", "warn": "WARNING", "open": "MIGRATE_LABEL"}
"""The name of Django's style for each look; ``DJANGO_COLORS`` may change the styles."""

Row = Mapping[str, Any]


class AnsweringCommand(BaseCommand):
    """A command that prints an answer and exits."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def answer(
        self,
        rows: Sequence[Row],
        *,
        otherwise: str = "None.",
        wraps: str = "",
        spare: Sequence[str] = (),
    ) -> None:
        """Print rows with the same keys as a table or JSON; ``otherwise`` if there are none.

        Args:
            wraps: see `table`.
            spare: see `table`.
        """
        if self.as_json:
            self.say_json([dict(row) for row in rows])
        elif rows:
            self.stdout.write(self.table(rows, wraps=wraps, spare=spare))
        else:
            self.say(otherwise)

    def table(self, rows: Sequence[Row], *, wraps: str = "", spare: Sequence[str] = ()) -> str:
        """Return rows as a table that fits the terminal."""
        return table(rows, self.width, self.paint, wraps=wraps, spare=spare)

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Print facts, one for each line, or as JSON."""
        if self.as_json:
            self.say_json(facts)
        else:
            self.stdout.write(self.description(facts.items()))

    def description(self, facts: Iterable[tuple[str, Any]]) -> str:
        """Return names and values as lines that fit the terminal."""
        return description(facts, self.width, self.paint)

    def say_json(self, value: Any) -> None:
        text = json.dumps(value, default=plain, indent=2, ensure_ascii=False)
        self.stdout.write(escaped_json(text))

    def say(self, sentence: str) -> None:
        """Print one line, escaped for a terminal."""
        self.stdout.write(escaped(sentence))

    def explain(self, sentence: str) -> None:
        """Print sentences, wrapped to the terminal, but for commands to copy: they stay whole."""
        self.stdout.write("\n".join(wrapped(escaped(sentence), self.width)))

    @property
    def width(self) -> int:
        """The width of the terminal; unlimited for a file or a pipe."""
        return shutil.get_terminal_size().columns if self.stdout.isatty() else UNLIMITED

    def paint(self, text: str, look: str) -> str:
        """Return a text in the colour of a look, if the output has colours."""
        return getattr(self.style, STYLES[look])(text) if look in STYLES else text

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.as_json = options.get("json", False)
        # Django itself does not know NO_COLOR (https://no-color.org).
        is_plain = bool(os.environ.get("NO_COLOR")) or not self._is_for_terminal(options)
        if is_plain and not options.get("force_color"):
            options["no_color"] = True
        try:
            if options.get("skip_checks") or not self.requires_system_checks:
                conf.get_settings()  # otherwise the checks report invalid settings
            answer = super().execute(*args, **options)
            self.stdout.flush()  # here, where a closed pipe can still be handled
            return answer
        except SystemCheckError:  # it has several lines, and the checks escape what they quote
            raise
        except CommandError as error:
            error.args = tuple(map(escaped, error.args))
            raise
        except BrokenPipeError:  # for example "| head"
            # Python flushes once more at exit, and would print the same error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(READER_GONE)
        except SettingsError as error:
            raise CommandError(str(error)) from error
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"Cannot query the database: {escaped(error)}. Check that it is running and "
                "migrated.",
                returncode=UNREACHABLE,
            ) from error

    def _is_for_terminal(self, options: Mapping[str, Any]) -> bool:
        stream = options.get("stdout") or self.stdout
        return bool(stream.isatty())


def counted(number: int, *, is_all: bool) -> int:
    """Return a count that tables show as "10,000+" unless it is complete; JSON has the number."""
    return number if is_all else AtLeast(number)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: moments in ISO 8601, durations in seconds."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else str(value)
