"""The state that a forked child process resets."""

import os
from collections.abc import Callable

CAN_FORK = hasattr(os, "fork")
"""Whether the system has what a pool of processes, or several workers of one command, need."""


def after_fork_in_child(begin_anew: Callable[[], None]) -> None:
    """Call ``begin_anew`` in each process that is forked from this one; on Windows, none is."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin_anew)
