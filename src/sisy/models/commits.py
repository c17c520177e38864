"""Waits until the caller's transactions on other databases are committed."""

from collections.abc import Callable, Collection
from functools import partial

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.runtime.compat import is_of_a_test_case


def open_beside(using: str) -> list[str]:
    """Return the aliases of other databases than ``using`` in which a transaction is open here.

    What is written to ``using`` would not be taken back with it. Those that Django's test cases
    open around a test do not count: they are never committed.
    """
    others = (each for each in connections.all(initialized_only=True) if each.alias != using)
    return [each.alias for each in others if _is_open(each)]


def once_committed(do: Callable[[], None], using: str, beside: Collection[str]) -> None:
    """Call ``do`` once the transactions ``beside``, and one in ``using``, are all committed.

    If one of them is rolled back, or a savepoint of it that is open now, it is never called.
    """
    waited_for = {*beside, *([using] if _is_open(connections[using]) else [])}

    def note(alias: str) -> None:
        waited_for.discard(alias)
        if not waited_for:
            do()

    for alias in sorted(waited_for):
        transaction.on_commit(partial(note, alias), using=alias)


def _is_open(connection: BaseDatabaseWrapper) -> bool:
    return connection.in_atomic_block and not all(
        is_of_a_test_case(block) for block in connection.atomic_blocks
    )
