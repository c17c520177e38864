"""The progress of a run, as its function reports it."""

import math
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import length_hint
from typing import Any, TypeVar

T = TypeVar("T")

MESSAGE_LIMIT = 200  # characters; a longer message is shortened

Advance = Callable[[int], None]
"""Notes how many rows are done."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The latest progress of an attempt.

    Attributes:
        done: how much is done.
        total: how much there is to do; None if that is unknown.
        message: what the function is doing; may be empty.
        at: when it was reported, by ``time.monotonic()``.
    """

    done: float
    total: float | None
    message: str
    at: float


def checked(done: Any, total: Any, message: Any) -> tuple[float, float | None, str]:
    """Return the arguments of a report of progress as plain values, with the message shortened.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a number is negative, infinite or not a number.
    """
    done = _number("done", done, "a number")
    if total is not None:
        hint = f", or pass the text as message={total!r}" if isinstance(total, str) else ""
        total = _number("total", total, f"a number or None{hint}")
    if not isinstance(message, str):
        raise TypeError(f"message must be a string, not {message!r}.")
    message = str.__str__(message)
    if len(message) > MESSAGE_LIMIT:
        message = message[: MESSAGE_LIMIT - 1] + "…"
    return done, total, message


def _number(name: str, value: Any, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be {expected}, not {value!r}.")
    try:
        # An instance of a subclass could not be sent from a child process to its worker. The
        # columns are floats, and some databases reject integers of more than 64 bits.
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be {expected}, at most 1e308, not more.") from None
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be {expected}, 0 or more, not {value!r}.")
    return number


def length_of(rows: object) -> int | None:
    """Return how many rows there are, if ``rows`` knows it; otherwise None."""
    count = length_hint(rows, -1)
    return None if count < 0 else count


def tracked(rows: Iterable[T], advance: Advance) -> Iterator[T]:
    """Yield rows, and note after each how many are done."""
    advance(0)
    for done, row in enumerate(rows, 1):
        yield row
        advance(done)


async def atracked(rows: AsyncIterable[T] | Iterable[T], advance: Advance) -> AsyncIterator[T]:
    """Yield rows of an iterable or an async one, and note after each how many are done."""
    advance(0)
    done = 0
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
            advance(done := done + 1)
    else:
        for row in tracked(rows, advance):
            yield row
