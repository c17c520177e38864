"""Numbers that people type as arguments, each with its range."""

from argparse import ArgumentTypeError
from collections.abc import Callable

MAX_COUNT = 1_000_000_000
"""How many rows somebody may ask for at most; more than a page or a ledger has."""


def whole(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` to ``most``; None sets no upper bound."""
    wanted = f" of at least {least}" if most is None else f" from {least} to {most}"

    def read(text: str) -> int:
        # 20 digits hold each number that a database can, and int() is slow for very long texts.
        if text.isascii() and text.isdigit() and len(text) <= 20:
            number = int(text)
            if least <= number and (most is None or number <= most):
                return number
        raise ArgumentTypeError(f"{text!r} is not valid. Use a whole number{wanted}")

    return read


def measure(unit: str, most: float) -> Callable[[str], float]:
    """Return a reader of numbers of a unit, such as "seconds", from 0 to ``most``."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if 0 <= number <= most:  # NaN is not
            return number
        raise ArgumentTypeError(f"{text!r} is not valid. Use 0 to {most:g} {unit}")

    return read
