"""Break a connection exactly before or after one statement or commit.

The nemesis leaves an order in a file for a member of the fleet. The process looks for the file at
each statement. When it comes to the statement that the order names, it breaks its own connection
and writes that down. The error that follows is the driver's own. So the process cannot know
whether the database has executed the statement or kept the transaction.

SQLite has no connection to break. There, the statement fails as if the disk had failed.

Statements are recognized by their verb and their table, so that their texts may change.
"""

import json
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NoReturn

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from tests.chaos import moments

ORDER = "SISY_CHAOS_ORDER"
"""The variable of the environment that names the file in which a process finds its orders."""

BEFORE, AFTER = "before", "after"

HAS_WRITTEN = "_chaos_has_written"
"""The attribute of a connection that has written in the transaction that is open."""

Action = tuple[str, str]
"""A verb and the table that it concerns; ``lock`` is a ``SELECT … FOR UPDATE``."""

COMMIT: Action = ("commit", "")
ATTEMPT_BEGINS: Action = ("begin", "sisy_run")
"""An update of runs that counts another attempt. Only a start does that."""

KINDS: dict[str, Callable[[frozenset[Action]], bool]] = {
    "insert": lambda done: ("insert", "sisy_run") in done,
    "plan": lambda done: bool(done & {("lock", "sisy_task"), ("update", "sisy_task")}),
    "claim": lambda done: bool(
        done & {("lock", "sisy_run"), ("lock", "sisy_queued_run"), ("delete", "sisy_queued_run")}
    ),
    "start": lambda done: bool(done & {ATTEMPT_BEGINS, ("insert", "sisy_running_run")}),
    "finish": lambda done: ("update", "sisy_run") in done and ATTEMPT_BEGINS not in done,
    "delete": lambda done: any(verb == "delete" for verb, _ in done),
    "renew": lambda done: ("update", "sisy_process") in done,
    "commit": lambda done: COMMIT in done,
}
"""What a statement must do to be of a kind. A commit counts only if something was written."""

OF_ROLES = {
    "heartbeat": ("insert", "plan", "delete", "renew", "commit"),
    "worker": ("claim", "start", "finish", "delete", "renew", "commit"),
}
"""The kinds of statements that a role sends all the time."""

_WRITE = re.compile(r'\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+["`]?(sisy_\w+)', re.IGNORECASE)
_READ = re.compile(r'\b(?:FROM|\w*JOIN)\s+["`]?(sisy_\w+)', re.IGNORECASE)
# MariaDB's DELETE of one of several tables: DELETE entry FROM sisy_run JOIN sisy_queued_run entry
_DELETE_OF_ALIAS = re.compile(
    r"\bDELETE\s+(\w+)\s+FROM\b.*?\b(sisy_\w+)\s+(?:AS\s+)?\1\b", re.IGNORECASE | re.DOTALL
)
_LOCKS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE)
_ADDS_AN_ATTEMPT = re.compile(r'\battempt["`]?\s*\+', re.IGNORECASE)


@lru_cache(maxsize=1000)
def actions_of(sql: str) -> frozenset[Action]:
    """Return what a statement does to Sisy's tables; a statement may have several parts."""
    found = {(verb.split()[0].lower(), table.lower()) for verb, table in _WRITE.findall(sql)}
    found |= {("delete", table.lower()) for _, table in _DELETE_OF_ALIAS.findall(sql)}
    if _LOCKS.search(sql):
        found |= {("lock", table.lower()) for table in _READ.findall(sql)}
    if ("update", "sisy_run") in found and _ADDS_AN_ATTEMPT.search(sql):
        found.add(ATTEMPT_BEGINS)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Order:
    """A statement before or after which to break the connection.

    Attributes:
        number: 1 for the next one of that kind.
    """

    when: str
    kind: str
    number: int = 1

    @classmethod
    def of(cls, text: str) -> "Order":
        """Return what ``str`` made a text of."""
        when, kind, number = text.split()
        return cls(when, kind, int(number))

    def __str__(self) -> str:
        return f"{self.when} {self.kind} {self.number}"


@dataclass(frozen=True, slots=True)
class Drop:
    """A break that happened.

    Attributes:
        at: the moment, by the time line of `moments`.
        who: the member of the fleet.
    """

    who: str
    when: str
    kind: str
    at: float


class Orders:
    """The orders of the nemesis, and the breaks that came of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done = folder / "done"
        self._done.mkdir(parents=True)
        self.given: Counter[str] = Counter()

    def file(self, member: str) -> Path:
        return self._folder / member

    def give(self, member: str, order: Order) -> None:
        """Leave an order; it replaces one that the member has not come to."""
        self.given[order.kind] += 1
        whole = self._folder / f"{member}.new"
        whole.write_text(str(order))
        whole.replace(self.file(member))

    def withdraw(self) -> None:
        for file in self._folder.iterdir():
            if file.is_file():
                file.unlink(missing_ok=True)

    def drops(self) -> list[Drop]:
        """Return the breaks that happened, in order."""
        found = [Drop(**json.loads(file.read_text())) for file in self._done.glob("*.json")]
        return sorted(found, key=lambda drop: drop.at)


class Dropper:
    """Breaks connections of this process as ordered.

    Args:
        file: where the orders are.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._passed = 0

    def install(self) -> None:
        """Watch all connections that this process opens from now on, and their commits."""
        connection_created.connect(self._watch, weak=False)
        commit = BaseDatabaseWrapper._commit

        def watched_commit(connection: BaseDatabaseWrapper) -> None:
            has_written = connection.__dict__.pop(HAS_WRITTEN, False)
            done = frozenset({COMMIT}) if has_written else frozenset()
            self._carry_out(connection, done, partial(commit, connection))

        BaseDatabaseWrapper._commit = watched_commit

    def _watch(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        if self._statement not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, self._statement)

    def _statement(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        connection, done = context["connection"], actions_of(str(sql))
        if not connection.in_atomic_block:
            connection.__dict__.pop(HAS_WRITTEN, None)
        elif any(verb in ("insert", "update", "delete") for verb, _ in done):
            connection.__dict__[HAS_WRITTEN] = True
        return self._carry_out(connection, done, partial(execute, sql, params, many, context))

    def _carry_out(
        self, connection: BaseDatabaseWrapper, done: Iterable[Action], act: Callable[[], Any]
    ) -> Any:
        order = self._order_for(frozenset(done))
        if order is None:
            return act()
        if order.when == AFTER:
            act()
        self._write_down(order)
        return break_connection(connection)

    def _order_for(self, done: frozenset[Action]) -> Order | None:
        """Return the order to obey now, if there is one, and remove it."""
        if not done or not self._file.exists():
            return None
        with self._lock, suppress(FileNotFoundError):
            order = Order.of(self._file.read_text())
            if KINDS[order.kind](done):
                self._passed += 1
                if self._passed >= order.number:
                    self._passed = 0
                    self._file.unlink()
                    return order
        return None

    def _write_down(self, order: Order) -> None:
        drop = Drop(self._file.name, order.when, order.kind, moments.now())
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        whole = self._file.parent / "done" / f"{name}.new"
        whole.write_text(json.dumps(asdict(drop)))
        whole.rename(whole.with_suffix(".json"))


def break_connection(connection: BaseDatabaseWrapper) -> NoReturn:
    """Break a connection that may be in a transaction.

    Raises:
        django.db.Error: the driver's error, always.
    """
    raw: Any = connection.connection
    with connection.wrap_database_errors:
        if connection.vendor == "sqlite":
            raw.rollback()  # as SQLite does itself when it cannot read or write
            raise connection.Database.OperationalError("disk I/O error")
        number = raw.fileno()
        with socket.socket(fileno=os.dup(number)) as line:
            line.shutdown(socket.SHUT_RDWR)
        raw.cursor().execute("SELECT 1")
    raise AssertionError("The connection did not break.")
