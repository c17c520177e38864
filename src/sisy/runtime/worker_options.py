"""Check the options of a worker, for the commands, `SisyASGI` and Channels' runworker."""

import re
from collections.abc import Iterable
from typing import Any

MAX_CONCURRENCY = 1000
MAX_GRACE = 86_400  # seconds
QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)


def queue_names(queues: Iterable[str]) -> tuple[str, ...]:
    """Return the names of queues without duplicates.

    Raises:
        ValueError: there is no name, or one is not valid.
    """
    if isinstance(queues, str | bytes) or not isinstance(queues, Iterable):
        raise ValueError(f"queues must be a list of names such as ['default'], not {queues!r}.")
    names = tuple(dict.fromkeys(queues))
    if not names:
        raise ValueError("queues must name at least one queue, such as 'default'.")
    for name in names:
        if not isinstance(name, str) or not QUEUE_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a valid queue name. Use 1 to 60 ASCII letters, digits, '-', '_' "
                "or '.'."
            )
    return names


def concurrency_of(value: Any) -> int:
    """Return the number of runs that a worker executes at once.

    Raises:
        ValueError: the value is not a whole number from 1 to 1000.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CONCURRENCY:
        raise ValueError(
            f"concurrency must be a whole number from 1 to {MAX_CONCURRENCY}, not {value!r}."
        )
    return value


def grace_of(value: Any) -> float:
    """Return the seconds that runs get to finish when a worker stops.

    Raises:
        ValueError: the value is not a number from 0 to 86400.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # The comparison also rejects NaN.
    if not is_number or not 0 <= value <= MAX_GRACE:
        raise ValueError(
            f"grace must be a number of seconds from 0 to {MAX_GRACE}, not {value!r}."
        )
    return float(value)
