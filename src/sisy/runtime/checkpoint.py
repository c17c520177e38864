"""Name the moments at which a process may die, so that tests can kill it there."""

from collections.abc import Callable

Watcher = Callable[[str], None]

_watchers: list[Watcher] = []


def checkpoint(name: str) -> None:
    """Mark a moment at which the process may die without losing or repeating a run.

    Calls the watchers; see `watch`.

    Args:
        name: the step and its progress, such as ``"plan: committed"``.
    """
    for watcher in _watchers:
        watcher(name)


def watch(watcher: Watcher) -> None:
    """Call ``watcher`` with the name of each checkpoint, in the thread that reaches it."""
    _watchers.append(watcher)
