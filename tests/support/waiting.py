"""Waiting for what happens in other threads and processes."""

import time
from collections.abc import Callable

WAIT_TIMEOUT = 60.0  # seconds; the machine may be busy
SHORTEST, LONGEST = 0.02, 0.1  # seconds between two looks, each of which may ask the database


def wait_until(
    condition: Callable[[], object],
    what: str = "",
    patience: float = WAIT_TIMEOUT,
    longest: float = LONGEST,
):
    """Return what ``condition`` returns, as soon as that is true of anything.

    Raises:
        AssertionError: it was not, within ``patience`` seconds.
    """
    deadline, pause = time.monotonic() + patience, SHORTEST
    while not (found := condition()):
        name = what or getattr(condition, "__name__", "it")
        assert time.monotonic() < deadline, f"waited {patience:g} s in vain until: {name}"
        time.sleep(pause)
        pause = min(pause * 1.2, longest)
    return found
