"""Check the options of a worker, for the commands, `SisyASGI` and Channels' runworker."""

import re
from collections.abc import Iterable
from typing import Any

from sisy.conf import problem_with_number

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
    return tuple(map(queue_name, names))


def queue_name(value: Any, name: str = "queue") -> str:
    """Return ``value`` if it is a valid queue name.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str) or not QUEUE_NAME.fullmatch(value):
        raise ValueError(
            f"{value!r:.80} is not a valid queue name. Use 1 to 60 ASCII letters, digits, '-', "
            "'_' or '.'."
        )
    return value


def concurrency_of(value: Any) -> int:
    """Return the number of runs that a worker executes at once.

    Raises:
        ValueError: the value is not a whole number from 1 to 1000.
    """
    if wrong := problem_with_number("concurrency", value, 1, MAX_CONCURRENCY, is_whole=True):
        raise ValueError(wrong)
    return int(value)


def grace_of(value: Any) -> float:
    """Return the seconds that runs have to finish when a worker stops.

    Raises:
        ValueError: the value is not a number from 0 to 86400.
    """
    unit = " of seconds"
    if wrong := problem_with_number("grace", value, 0, MAX_GRACE, is_whole=False, unit=unit):
        raise ValueError(wrong)
    return float(value)
