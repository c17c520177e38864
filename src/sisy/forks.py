"""Reset state in a forked child process."""

import os
from collections.abc import Callable

CAN_FORK = hasattr(os, "fork")
"""True if the system supports a pool of processes, and several workers of one command."""


def after_fork_in_child(begin_anew: Callable[[], None]) -> None:
    """Call ``begin_anew`` in each process that is forked from this one. No effect on Windows."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin_anew)
