"""The output of commands: a table, by rich if it is installed, or JSON."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    SystemCheckError,
)
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

from sisy import conf
from sisy.exceptions import SettingsError
from sisy.reports import formatting
from sisy.runtime.escaping import escaped, escaped_json

UNREACHABLE = 3  # the exit code if the database cannot be queried
READER_GONE = 128 + 13  # the exit code that shells give a program that SIGPIPE ends

Row = Mapping[str, Any]


class AnsweringCommand(BaseCommand):
    """A command that prints an answer and exits."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def answer(self, rows: Sequence[Row], *, otherwise: str = "None.") -> None:
        """Print rows with the same keys as a table or JSON; ``otherwise`` if there are none."""
        if self.as_json:
            self.say_json([dict(row) for row in rows])
        elif rows:
            self.stdout.write(table(rows, self._width()))
        else:
            self.say(otherwise)

    def say_json(self, value: Any) -> None:
        text = json.dumps(value, default=plain, indent=2, ensure_ascii=False)
        self.stdout.write(escaped_json(text))

    def say(self, sentence: str) -> None:
        """Print one line, escaped for a terminal."""
        self.stdout.write(escaped(sentence))

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.as_json = options.get("json", False)
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

    def _width(self) -> int:
        is_terminal = self.stdout.isatty()
        return shutil.get_terminal_size((120, 24)).columns if is_terminal else 1000


class AtLeast(int):
    """A count that stopped at its limit."""


def counted(number: int, *, is_all: bool) -> int:
    """Return a count that tables show as "10,000+" unless it is complete; JSON has the number."""
    return number if is_all else AtLeast(number)


def table(rows: Sequence[Row], width: int) -> str:
    """Return rows as a table under their keys, wrapped to a width if rich is installed."""
    names = list(rows[0])
    cells = [[shown(row[name]) for name in names] for row in rows]
    try:
        return _by_rich(names, cells, width)
    except ImportError:
        return _plainly(names, cells)


def shown(value: Any) -> str:
    """Return a value as people read it: moments in the project's time zone, nothing as a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, AtLeast):
        return f"{int(value):,}+"
    if isinstance(value, datetime):
        zone = timezone.get_default_timezone()
        return f"{timezone.localtime(value, zone):%Y-%m-%d %H:%M:%S %Z}"
    if isinstance(value, timedelta):
        return formatting.span(value)
    if isinstance(value, list | tuple):
        return escaped(", ".join(map(str, value)))
    return escaped(value)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: moments in ISO 8601, durations in seconds."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def _plainly(names: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    columns = zip(names, *cells, strict=True)
    widths = [max(map(len, column)) for column in columns]
    lines = [names, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _by_rich(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        drawn.add_column(name, overflow="fold")
    for line in cells:
        drawn.add_row(*map(Text, line))
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())
