"""Waiting for what happens in other threads and processes."""

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds; the machine may be busy


def wait_until(condition: Callable[[], object], what: str = "", patience: float = PATIENCE):
    """Return what ``condition`` returns, as soon as that is true of anything.

    Raises:
        AssertionError: it was not, within ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while not (found := condition()):
        name = what or getattr(condition, "__name__", "it")
        assert time.monotonic() < deadline, f"waited {patience:g} s in vain until: {name}"
        time.sleep(0.02)
    return found
