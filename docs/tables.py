"""Generate the reference tables from docstrings and help texts: ``make reference``.

The tables are stored in the pages, so that people can read them on any site that shows Markdown.
With ``--check``, only report stale tables.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.core.management.base import BaseCommand

ROOT = Path(__file__).parent.parent
REFERENCE = Path(__file__).parent / "reference"
TABLE = re.compile(
    r"(?P<begin><!-- table: (?P<name>[a-z ]+) -->\n).*?(?P<end><!-- end of table -->)", re.DOTALL
)

SERVING = ("sisy", "sisy_heartbeat", "sisy_worker")
ANSWERING = (
    "sisy_sync",
    "sisy_tasks",
    "sisy_alerts",
    "sisy_runs",
    "sisy_queues",
    "sisy_workers",
    "sisy_top",
    "sisy_status",
    "sisy_simulate",
    "sisy_prune",
    "sisy_health",
    "sisy_completion",
)

Row = Sequence[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="do not write; fail if a table is stale"
    )
    only_check = parser.parse_args().check
    stale = {page: text for page in pages() if (text := renewed(page)) != page.read_text()}
    for page, text in stale.items():
        said = "is stale" if only_check else "written"
        sys.stdout.write(f"{page.relative_to(ROOT)}: {said}\n")
        if not only_check:
            page.write_text(text)
    if stale and only_check:
        sys.exit("The tables differ from the code. Run: make reference")


def pages() -> list[Path]:
    """Return the pages with generated tables."""
    return [page for page in sorted(REFERENCE.glob("*.md")) if TABLE.search(page.read_text())]


def renewed(page: Path) -> str:
    """Return the text of a page with current tables."""

    def renew(match: re.Match[str]) -> str:
        return f"{match['begin']}{table(TABLES[match['name']]())}{match['end']}"

    return TABLE.sub(renew, page.read_text())


def table(rows: Iterator[Row]) -> str:
    """Return a table as Markdown; its first row is the head."""
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def settings() -> Iterator[Row]:
    from sisy import conf

    said = docstrings("sisy.conf")
    yield "Setting", "Default", "Meaning"
    for field in fields(conf.Settings):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        name = conf.PREFIX + field.name.upper()
        yield f"`{name}`", f"`{default!r}`".replace("'", '"'), said["Settings", field.name]


def signals() -> Iterator[Row]:
    yield "Signal", "What happened"
    for (_, name), text in docstrings("sisy.signals").items():
        yield f"`{name}`", text


def of_members(module: str, *classes: str) -> Callable[[], Iterator[Row]]:
    """Return a table of the values of enumerations."""

    def rows() -> Iterator[Row]:
        from sisy import models

        said = docstrings(module)
        yield "Value", "Meaning"
        for name in classes:
            for member in getattr(models, name):
                yield f"`{member.value}`", said[name, member.name]

    return rows


def of_keys(name: str) -> Callable[[], Iterator[Row]]:
    """Return a table of the keys of a message."""

    def rows() -> Iterator[Row]:
        yield "Key", "Value"
        for (holder, key), text in docstrings("sisy.messaging.messages").items():
            if holder == name:
                yield f"`{key}`", text

    return rows


def of_commands(*names: str) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        yield "Command", "What it does"
        for name in names:
            yield f"`{name}`", first_sentence(command(name).help)

    return rows


def of_options(*names: str) -> Callable[[], Iterator[Row]]:
    """Return a table of the options of commands. Options with the same meaning share a row."""

    def rows() -> Iterator[Row]:
        takers: dict[tuple[str, str, str], list[str]] = {}
        for name in names:
            for option in own_options(name):
                takers.setdefault(option, []).append(f"`{name}`")
        yield "Option", "Default", "Commands", "Meaning"
        for (spelled, default, meaning), of in takers.items():
            yield spelled, default, "all" if len(of) == len(names) else ", ".join(of), meaning

    return rows


def verbs_of(command: str) -> Callable[[], Iterator[Row]]:
    """Return a table of the verbs of a command."""

    def rows() -> Iterator[Row]:
        (action,) = (each for each in parser_of(command)._actions if each.dest == "verb")
        yield "Verb", "What it does", "Arguments"
        for name, parser in dict(action.choices or {}).items():
            filters = filters_of(parser)
            takes = [
                f"{spelled(each)}: {(each.help or '') % vars(each)}"
                for each in parser._actions
                if each.dest not in djangos_options() | {"json"} and each not in filters
            ]
            yield f"`{name}`", parser.description, "; ".join(takes + ["filters"] * bool(filters))

    return rows


def filters_of_runs() -> Iterator[Row]:
    (action,) = (each for each in parser_of("sisy_runs")._actions if each.dest == "verb")
    yield "Filter", "Runs"
    for each in filters_of(dict(action.choices or {})["list"]):
        yield spelled(each), each.help or ""


def filters_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the options that choose runs, which several verbs share."""
    from sisy.management.run_filters import TITLE

    groups = [each for each in parser._action_groups if each.title == TITLE]
    return [action for group in groups for action in group._group_actions]


def spelled(action: argparse.Action) -> str:
    words = [", ".join(action.option_strings), str(action.metavar or "")]
    return f"`{' '.join(filter(None, words))}`"


def own_options(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield the options of a command, their defaults and meanings, without Django's."""
    for action in parser_of(name)._actions:
        if action.option_strings and action.dest not in djangos_options():
            options = ", ".join(f"`{option}`" for option in action.option_strings)
            default = "DEBUG" if action.dest == "reload" else str(action.default)
            # The table has a column of defaults.
            meaning = re.sub(r" \(default: %\(default\)[gs]\)", "", action.help or "")
            yield options, f"`{default}`", meaning


@cache
def djangos_options() -> set[str]:
    """Return the names of the options that all Django commands share."""
    from django.core.management.base import BaseCommand

    return {action.dest for action in BaseCommand().create_parser("manage.py", "any")._actions}


def command(name: str) -> "BaseCommand":
    from django.core.management import get_commands, load_command_class

    return load_command_class(str(get_commands()[name]), name)


def parser_of(name: str) -> argparse.ArgumentParser:
    return command(name).create_parser("manage.py", name)


def first_sentence(text: str) -> str:
    return text.partition(". ")[0].removesuffix(".") + "."


def docstrings(module: str) -> dict[tuple[str, str], str]:
    """Return the docstrings of a module's names and of its classes' attributes, as Markdown."""
    from sphinx.pycode import ModuleAnalyzer

    said = ModuleAnalyzer.for_module(module).find_attr_docs()
    return {name: " ".join(filter(None, lines)).replace("``", "`") for name, lines in said.items()}


TABLES: dict[str, Callable[[], Iterator[Row]]] = {
    "settings": settings,
    "signals": signals,
    "states of runs": of_members("sisy.records.choices", "RunState"),
    "states of tasks": of_members("sisy.records.choices", "TaskState"),
    "origins": of_members("sisy.records.choices", "Origin"),
    "run task": of_keys("RunTask"),
    "control": of_keys("Control"),
    "look": of_keys("Look"),
    "event": of_keys("Event"),
    "beat": of_keys("Beat"),
    "commands that serve": of_commands(*SERVING),
    "commands that answer": of_commands(*ANSWERING),
    "options that serve": of_options(*SERVING),
    "options that answer": of_options(*ANSWERING),
    "verbs": verbs_of("sisy_tasks"),
    "verbs of alerts": verbs_of("sisy_alerts"),
    "verbs of runs": verbs_of("sisy_runs"),
    "filters of runs": filters_of_runs,
    "verbs of queues": verbs_of("sisy_queues"),
    "verbs of workers": verbs_of("sisy_workers"),
}
"""The function that generates each table, by the name of the table in its page."""


if __name__ == "__main__":
    import django

    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    main()
