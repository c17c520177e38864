"""Processes of the operating system."""

import psutil


def is_gone(pid):
    """Return whether no process has this id, or only one that waits to be reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
