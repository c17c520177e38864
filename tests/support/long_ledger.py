"""A ledger of many finished runs, and how many rows a database reads to answer its statements."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from sisy.models import Process, Run, RunState, Task
from sisy.store.entries import (
    IS_TROUBLED,
    QUEUED_COLUMNS,
    QUEUED_VALUES,
    TROUBLED_COLUMNS,
    TROUBLED_VALUES,
)
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled, worker

TASKS = 100
SEEDS = 1000  # runs that are stored one by one, and then copied
PROCESSES = 5
SMALL_TABLES = ("sisy_queued_run", "sisy_running_run", "sisy_troubled_run")


def store(finished: int, queued: int = 0, running: int = 0) -> tuple[list[Task], list[Process]]:
    """Store tasks and their runs: finished ones that were planned days ago, queued, running.

    One in a hundred of the finished ones has failed. Afterwards, the statistics are right.
    """
    tasks = [scheduled("0 0 1 1 *", label=f"task {n}", overlap="allow") for n in range(TASKS)]
    processes = [worker(NOON, HOUR) for _ in range(PROCESSES)]
    _multiply(finished, lambda n: _finished(tasks[n % TASKS], n))
    _multiply(queued, lambda n: tasks[n % TASKS].new_run(now=NOON - MINUTE))
    _multiply(running, lambda n: _running(tasks[n % TASKS], processes[n % PROCESSES]))
    with connection.cursor() as cursor:
        for table in SMALL_TABLES:
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute(
            f"INSERT INTO sisy_queued_run ({QUEUED_COLUMNS}) SELECT {QUEUED_VALUES} "
            "FROM sisy_run WHERE state = 'queued'"
        )
        cursor.execute(
            "INSERT INTO sisy_running_run (task_id, run_id, process_id) "
            "SELECT task_id, id, process_id FROM sisy_run WHERE state = 'running'"
        )
        cursor.execute(
            f"INSERT INTO sisy_troubled_run ({TROUBLED_COLUMNS}) SELECT {TROUBLED_VALUES} "
            f"FROM sisy_run WHERE {IS_TROUBLED}"
        )
    analyze()
    return tasks, processes


def analyze() -> None:
    """Let the database count what is in the tables now. SQLite never does."""
    tables = ", ".join([*(model._meta.db_table for model in (Run, Task, Process)), *SMALL_TABLES])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {tables}")
    elif connection.vendor == "mysql":
        # MariaDB counts by itself, but in a thread that may not have come to it yet. The statement
        # would commit in this session, and in another one also counts what is not committed.
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute(f"ANALYZE TABLE {tables}")
        other.close()


def _finished(task: Task, n: int) -> Run:
    state = RunState.FAILED if n % 100 == 0 else RunState.SUCCEEDED
    at = NOON - 10 * DAY
    return task.new_run(now=at, state=state, started_at=at, finished_at=at, attempt=1)


def _running(task: Task, process: Process) -> Run:
    columns = {"process": process, "started_at": NOON - MINUTE, "attempt": 1}
    return task.new_run(now=NOON - MINUTE, state=RunState.RUNNING, **columns)


def _multiply(count: int, make: Callable[[int], Run]) -> None:
    """Store so many runs: the first ones by the ORM, and the others as copies of these."""
    seeds = [make(n) for n in range(min(count, SEEDS))]
    if not seeds:
        return
    before = Run.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    Run.objects.bulk_create(seeds)
    columns = ", ".join(
        connection.ops.quote_name(field.column)
        for field in Run._meta.concrete_fields
        if not field.primary_key
    )
    stored = len(seeds)
    with connection.cursor() as cursor:
        while stored < count:
            cursor.execute(
                f"INSERT INTO sisy_run ({columns}) SELECT {columns} FROM sisy_run "
                f"WHERE id > {before} ORDER BY id LIMIT {min(stored, count - stored)}"
            )
            stored += cursor.rowcount


@dataclass(slots=True)
class Reads:
    """What a database read to answer statements.

    Attributes:
        statements: each statement, and how many rows of all tables it read; on SQLite, the steps
            of its machine, of which a row takes about ten.
    """

    statements: list[tuple[str, int]] = field(default_factory=list)

    def above(self, bound: int) -> list[tuple[int, str]]:
        """Return the statements that read more than so many rows, the largest first."""
        return sorted(((n, sql) for sql, n in self.statements if n > bound), reverse=True)


@contextmanager
def reading() -> Iterator[Reads]:
    """Count what each statement reads that Django sends meanwhile."""
    found = Reads()
    count = {"postgresql": _explained, "mysql": _handled, "sqlite": _stepped}[connection.vendor]
    with count(found):
        yield found


STEPS_OF_A_ROW = 10
STEPS_AT_ONCE = 200


@contextmanager
def _stepped(found: Reads) -> Iterator[None]:
    """On SQLite: its virtual machine calls back after so many steps."""

    def note() -> int:
        if found.statements:
            sql, rows = found.statements[-1]
            found.statements[-1] = sql, rows + STEPS_AT_ONCE // STEPS_OF_A_ROW
        return 0

    def begin(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found.statements.append((sql, 0))
        return execute(sql, params, many, context)

    connection.ensure_connection()
    connection.connection.set_progress_handler(note, STEPS_AT_ONCE)
    try:
        with connection.execute_wrapper(begin):
            yield
    finally:
        connection.connection.set_progress_handler(None, 0)


@contextmanager
def _handled(found: Reads) -> Iterator[None]:
    """On MariaDB: the session counts each row that a table handed over."""

    def handled() -> int:
        with connection.connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _, value in cursor.fetchall())

    def measured(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        before = handled()
        try:
            return execute(sql, params, many, context)
        finally:
            found.statements.append((sql, handled() - before))

    with connection.execute_wrapper(measured):
        yield


VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "(SELECT")


@contextmanager
def _explained(found: Reads) -> Iterator[None]:
    """On PostgreSQL: EXPLAIN ANALYZE executes a statement; then it is undone, and executed."""

    def explained(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().upper().startswith(VERBS) and not many:
            cursor = context["cursor"]
            cursor.connection.execute("SAVEPOINT explained")
            execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params, many, context)
            [[plan]] = cursor.fetchone()
            found.statements.append((sql, _rows_of(plan["Plan"])))
            cursor.connection.execute("ROLLBACK TO SAVEPOINT explained")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained):
        yield


def _rows_of(node: dict[str, Any]) -> int:
    passed = [value for name, value in node.items() if name.startswith("Rows Removed by")]
    own = (node["Actual Rows"] + sum(passed)) * node["Actual Loops"]
    return round(own) + sum(_rows_of(below) for below in node.get("Plans", ()))


def shown(found: Mapping[str, list[tuple[int, str]]]) -> str:
    """Return statements for people, by the step that sent them, with the rows that they read."""
    lines = [
        f"{step} read {rows:,} rows: {' '.join(sql.split())[:1000]}"
        for step, statements in found.items()
        for rows, sql in statements
    ]
    return "\n".join(lines)
