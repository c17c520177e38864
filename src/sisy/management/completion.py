"""Candidates for the word that a person types in a shell, from the parsers of the commands."""

import shlex
from argparse import Action, ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from django.core.management import get_commands, load_command_class
from django.db import DatabaseError, router

from sisy.models import Alert, Process, Queue, Role, Task
from sisy.reports.queue_names import queues_of
from sisy.runtime.compat import actions_of
from sisy.runtime.escaping import first_obeyed

MAX_NAMES = 200  # of one kind, from the database

Names = Callable[[str, str], Iterable[Any]]
"""Returns the names in a database that begin with a text."""


def candidates(words: Sequence[str]) -> list[str]:
    """Return what may stand in place of the last word.

    Args:
        words: what was typed after ``manage.py``; the last word is being typed.
    """
    *before, current = words or [""]
    if not before:
        return _beginning(current, get_commands())
    name, *given = before
    if get_commands().get(name) != "sisy":
        return []
    parser: ArgumentParser = load_command_class("sisy", name).create_parser("manage.py", name)
    verbs = _verbs(parser)
    if verbs is not None:
        chosen = next((n for n, word in enumerate(given) if word in verbs), None)
        if chosen is None:
            return _beginning(current, [*verbs, *_options(parser)] if current else verbs)
        parser, given = verbs[given[chosen]], given[chosen + 1 :]
    if given and (option := _option(parser, given[-1])) is not None and option.nargs != 0:
        return _values(option, current)
    if current.startswith("-"):
        return _beginning(current, _options(parser))
    positional = [one for one in actions_of(parser) if not one.option_strings]
    return [value for one in positional for value in _values(one, current)]


def unquoted(word: str) -> str:
    """Return a word without the quotes and backslashes of the shell; it may be unfinished."""
    for end in ("", "'", '"'):
        with suppress(ValueError):
            return "".join(shlex.split(word + end))
    return word


def _verbs(parser: ArgumentParser) -> dict[str, ArgumentParser] | None:
    for action in actions_of(parser):
        if isinstance(action, _SubParsersAction):
            return dict(action.choices)
    return None


def _options(parser: ArgumentParser) -> list[str]:
    return sorted(
        name for one in actions_of(parser) for name in one.option_strings if name.startswith("--")
    )


def _option(parser: ArgumentParser, word: str) -> Action | None:
    return next((one for one in actions_of(parser) if word in one.option_strings), None)


def _values(action: Action, current: str) -> list[str]:
    if action.choices is not None:
        return _beginning(current, map(str, action.choices))
    is_key = action.dest == "run" and action.type is not None
    if action.dest not in NAMES or is_key:
        return []
    # A shell that completes shows no errors, such as that of a database that is down.
    with suppress(DatabaseError):
        found = NAMES[action.dest](router.db_for_write(Task), current)
        return _beginning(current, [name for name in map(str, found) if not first_obeyed(name)])
    return []


def _beginning(current: str, words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word.startswith(current)})


def _labels(using: str, begin: str) -> Iterable[Any]:
    tasks = Task.objects.using(using).filter(label__startswith=begin).order_by("label")
    return tasks.values_list("label", flat=True)[:MAX_NAMES]


def _queues(using: str, begin: str) -> Iterable[Any]:
    yield from queues_of(Task.objects.using(using).filter(queue__startswith=begin))[:MAX_NAMES]
    yield from Queue.objects.using(using).values_list("name", flat=True)[:MAX_NAMES]


def _workers(using: str, begin: str) -> Iterable[Any]:
    for process in Process.objects.using(using).filter(role=Role.WORKER)[:MAX_NAMES]:
        yield from (f"{process.pid}@{process.host}", process.host)


def _alerts(using: str, begin: str) -> Iterable[Any]:
    return Alert.objects.using(using).open().values_list("pk", flat=True)[:MAX_NAMES]


def _closed_alerts(using: str, begin: str) -> Iterable[Any]:
    closed = Alert.objects.using(using).closed().exclude(closed_by="")
    return closed.values_list("pk", flat=True)[:MAX_NAMES]


NAMES: dict[str, Names] = {
    "task": _labels,
    "tasks": _labels,
    "subject": _labels,
    "run": _labels,
    "queue": _queues,
    "queues": _queues,
    "worker": _workers,
    "workers": _workers,
    "alert": _alerts,
    "alerts": _alerts,
    "closed_alerts": _closed_alerts,
}
"""By the name of an argument, the names in the database that it may have."""
