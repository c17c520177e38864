"""Argument types of numbers with a range."""

from argparse import ArgumentTypeError
from collections.abc import Callable

MAX_COUNT = 1_000_000_000
"""The largest number of rows that an option accepts."""


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


def measure(unit: str, most: float) -> Callable[[str], float]:
    """Return the type of a number from 0 to ``most`` of a unit, such as "seconds"."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if 0 <= number <= most:  # NaN is not
            return number
        raise ArgumentTypeError(f"{text!r} is not valid. Use 0 to {most:g} {unit}")

    return read
