"""Read the arguments of commands: numbers and keys of runs."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable

from django.core.management.base import CommandError

from sisy.exceptions import nearest

INVALID = 2  # the exit code if an argument is not valid
MAX_COUNT = 1_000_000_000
"""The largest number of rows that an option accepts."""


def invalid(message: str) -> CommandError:
    """Return the error for an argument that only the command can check, such as a moment."""
    return CommandError(message, returncode=INVALID)


def whole(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """Return the type of a whole number from ``least`` to ``most``; None means no upper limit."""
    wanted = f" of at least {least}" if most is None else f" from {least} to {most}"

    def read(text: str) -> int:
        # 20 digits are enough for any number in a database, and int() is slow for very long texts.
        if text.isascii() and text.isdigit() and len(text) <= 20:
            number = int(text)
            if least <= number and (most is None or number <= most):
                return number
        raise ArgumentTypeError(f"{text!r} is not valid. Use a whole number{wanted}")

    return read


def one_of(
    choices: Iterable[str], names: Iterable[tuple[str, object]] = ()
) -> Callable[[str], str]:
    """Return the type of one of some words, in any case; another one is answered with the nearest.

    Args:
        names: pairs of a choice and another name of it, such as the one that lists show.
    """
    known = [str(choice) for choice in choices]

    def read(text: str) -> str:
        # The names may be translated, and the language is known only now.
        meant = {_plain(str(name)): str(choice) for choice, name in names}
        meant |= {_plain(choice): choice for choice in known}
        word = _plain(text)
        if word in meant:
            return meant[word]
        near = nearest(word, meant)
        hint = f" Did you mean {meant[near]!r}?" if near else ""
        raise ArgumentTypeError(f"{text!r} is not valid.{hint} Use one of {', '.join(known)}")

    return read


def _plain(word: str) -> str:
    return re.sub(r"[\s-]+", "_", word.strip().casefold())


def measure(unit: str, most: float) -> Callable[[str], float]:
    """Return the type of a number from 0 to ``most`` of a unit, such as "seconds"."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if 0 <= number <= most:  # NaN is not
            return number
        raise ArgumentTypeError(f"{text!r} is not valid. Use 0 to {most:.0f} {unit}")

    return read


RUN = re.compile(r"(?:.*#|run\s+)?([0-9]{1,18})", re.IGNORECASE)
"""``7``, ``#7``, ``run 7``, and ``label #7`` as in log lines."""


def run_key(text: str) -> int | None:
    """Return the key of the run that a text names; None if it is not a run."""
    found = RUN.fullmatch(text.strip())
    return int(found[1]) if found else None
