"""Names the moments at which a process may end, so that tests can end it there."""

from collections.abc import Callable

Watcher = Callable[[str], None]

_watchers: list[Watcher] = []


def checkpoint(name: str) -> None:
    """Mark a moment at which the end of the process must lose nothing and double nothing.

    Does nothing by itself: see `watch`.

    Args:
        name: the step, and how far it has come: ``"plan: committed"``.
    """
    for watcher in _watchers:
        watcher(name)


def watch(watcher: Watcher) -> None:
    """Call ``watcher`` with the name of each checkpoint, in the thread that reaches it."""
    _watchers.append(watcher)
