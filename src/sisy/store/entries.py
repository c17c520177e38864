"""Keep the small tables beside the ledger: `QueuedRun`, `RunningRun` and `TroubledRun`.

An entry follows its run in the same transaction. The statements that store, start and finish runs
also write the entries: see `submissions`, `starts` and `outcomes`. Other changes call `follow`,
which deletes the entries of some runs, and adds those that the ledger requires.

Code that changes both locks the run's row first, and then its entry. A claim begins at the entry,
but waits for neither: it skips what another transaction has locked.
"""

from collections.abc import Mapping, Sequence

from django.db import connections, transaction

from sisy.runtime.checkpoint import checkpoint
from sisy.store.statements import Statement

BATCH = 500

QUEUED_COLUMNS = "task_id, run_id, engine, queue, priority, ready_at, is_delayed, is_ahead"
IS_AHEAD = "due_at IS NOT NULL AND due_at > planned_at AND ready_at = due_at"
QUEUED_VALUES = (
    f"task_id, id, engine, queue, priority, ready_at, ready_at > planned_at, {IS_AHEAD}"
)
TROUBLED_COLUMNS = "task_id, run_id, state, finished_at"
TROUBLED_VALUES = "task_id, id, state, finished_at"
IS_TROUBLED = "state NOT IN ('queued', 'running', 'succeeded')"

ADD_QUEUED = Statement(f"""
    INSERT INTO sisy_queued_run ({QUEUED_COLUMNS})
    SELECT {QUEUED_VALUES} FROM sisy_run WHERE id {{in_runs}} AND state = 'queued'
""")
ADD_RUNNING = Statement("""
    INSERT INTO sisy_running_run (task_id, run_id, process_id)
    SELECT task_id, id, process_id FROM sisy_run WHERE id {in_runs} AND state = 'running'
""")
ADD_TROUBLED = Statement(f"""
    INSERT INTO sisy_troubled_run ({TROUBLED_COLUMNS})
    SELECT {TROUBLED_VALUES} FROM sisy_run WHERE id {{in_runs}} AND {IS_TROUBLED}
""")

# For runs that a statement of PostgreSQL has just inserted, and calls "stored". It returns only
# the columns that are needed here, because PostgreSQL copies each column that it returns.
COLUMNS_OF_ENTRY = ("id", "task_id", "engine", "queue", "priority", "ready_at")
COLUMNS_OF_QUEUED = (*COLUMNS_OF_ENTRY, "planned_at", "due_at")
COLUMNS_OF_ANY = (*COLUMNS_OF_QUEUED, "state", "finished_at")
TROUBLED_OF_STORED = (
    f"INSERT INTO sisy_troubled_run ({TROUBLED_COLUMNS}) SELECT {TROUBLED_VALUES} FROM stored "
    f"WHERE {IS_TROUBLED}"
)


def deletion_of(table: str, runs: str) -> str:
    """Return PostgreSQL's deletion of the entries of runs from a small table.

    Args:
        runs: the name of a part of the statement that returns the runs' ``id`` and ``task_id``.
    """
    # A subquery for each run leaves PostgreSQL no choice but to look up its entry by the key. With
    # a join, it would read the whole table as long as that seems cheap. While a snapshot is held,
    # that would be all entries that were deleted since.
    return f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT (
                SELECT entry.ctid FROM {table} entry
                WHERE entry.task_id = {runs}.task_id AND entry.run_id = {runs}.id
            ) FROM {runs}
        ))
    """


# The primary key of the small tables begins with the task, so that one index finds both the entry
# of a run and those of a task. The ledger says to which task a run belongs.
DELETE_QUEUED = Statement("""
    DELETE FROM sisy_queued_run
    WHERE (task_id, run_id) IN (SELECT task_id, id FROM sisy_run WHERE id {in_runs})
""")
DELETE_RUNNING = Statement("""
    DELETE FROM sisy_running_run
    WHERE (task_id, run_id) IN (SELECT task_id, id FROM sisy_run WHERE id {in_runs})
""")
# MariaDB would read the whole table to execute the statements above.
DELETE_QUEUED_JOINED = Statement("""
    DELETE entry FROM sisy_run STRAIGHT_JOIN sisy_queued_run entry
    ON entry.task_id = sisy_run.task_id AND entry.run_id = sisy_run.id
    WHERE sisy_run.id {in_runs}
""")
DELETE_RUNNING_JOINED = Statement("""
    DELETE entry FROM sisy_run STRAIGHT_JOIN sisy_running_run entry
    ON entry.task_id = sisy_run.task_id AND entry.run_id = sisy_run.id
    WHERE sisy_run.id {in_runs}
""")
DELETE_TROUBLED = Statement("DELETE FROM sisy_troubled_run WHERE run_id {in_runs}")
DELETE_OUTPUT = Statement("DELETE FROM sisy_run_output WHERE run_id {in_runs}")


def follow(using: str, runs: Sequence[int]) -> None:
    """Make the entries of runs say what the ledger says now.

    Args:
        runs: the keys of the runs, whose rows exist.
    """
    with transaction.atomic(using=using, savepoint=False):
        checkpoint("follow: ledger written")
        for start in range(0, len(runs), BATCH):
            some = list(runs[start : start + BATCH])
            forget(using, some)
            checkpoint("follow: entries deleted")
            for statement in (ADD_QUEUED, ADD_RUNNING, ADD_TROUBLED):
                statement.change(using, runs=some)


def with_entries(insertion: str, shared: Mapping[str, str], *, are_queued: bool) -> str:
    """Return PostgreSQL's statement that inserts runs with their entries, and returns their keys.

    Args:
        shared: columns in which all of the runs have the same value, each with its SQL.
        are_queued: whether all of them are queued. If not, none is running.
    """
    if are_queued:
        parts = [f"stored AS ({insertion} RETURNING {own_columns(shared)})"]
        parts.append(f"queued AS ({queued_of_stored(shared)})")
    else:
        parts = [f"stored AS ({insertion} RETURNING {', '.join(COLUMNS_OF_ANY)})"]
        parts.append(f"queued AS ({queued_of_stored({})} WHERE state = 'queued')")
        parts.append(f"troubled AS ({TROUBLED_OF_STORED})")
    return f"WITH {', '.join(parts)} SELECT id FROM stored"


def own_columns(shared: Mapping[str, str]) -> str:
    """Return the columns of queued runs that `queued_of_stored` reads, as a list in SQL."""
    return ", ".join(name for name in COLUMNS_OF_QUEUED if name not in shared)


def queued_of_stored(shared: Mapping[str, str]) -> str:
    """Return the insertion of the entries of runs that were just inserted, and are all queued.

    Args:
        shared: columns in which all of the runs have the same value, each with its SQL.
    """
    source = "stored"
    if shared:
        value_of = {name: f"{value} AS {name}" for name, value in shared.items()}
        every = ", ".join(value_of.get(name, name) for name in COLUMNS_OF_QUEUED)
        source = f"(SELECT {every} FROM stored) AS stored"
    return f"INSERT INTO sisy_queued_run ({QUEUED_COLUMNS}) SELECT {QUEUED_VALUES} FROM {source}"


def add_inserted(using: str, runs: Sequence[int], *, are_queued: bool) -> None:
    """Add the entries of runs that were just inserted.

    Args:
        are_queued: whether all of them are queued.
    """
    checkpoint("insert: ledger written")
    for start in range(0, len(runs), BATCH):
        some = list(runs[start : start + BATCH])
        ADD_QUEUED.change(using, runs=some)
        if not are_queued:
            ADD_RUNNING.change(using, runs=some)
            ADD_TROUBLED.change(using, runs=some)


def start(using: str, runs: list[int]) -> None:
    """Move the entries of runs that were just started from the queued to the running ones."""
    checkpoint("start: ledger written")
    _delete(using, runs, DELETE_QUEUED, DELETE_QUEUED_JOINED)
    checkpoint("start: queued entries deleted")
    ADD_RUNNING.change(using, runs=runs)


def finish(using: str, runs: list[int]) -> None:
    """Delete the entries of runs that have just finished, and add those of troubled runs."""
    checkpoint("finish: ledger written")
    _delete(using, runs, DELETE_RUNNING, DELETE_RUNNING_JOINED)
    checkpoint("finish: running entries deleted")
    ADD_TROUBLED.change(using, runs=runs)


def forget_all(using: str, runs: list[int]) -> None:
    """Delete all entries and the output of runs, before the runs are deleted."""
    forget(using, runs)
    DELETE_OUTPUT.change(using, runs=runs)


def forget(using: str, runs: list[int]) -> None:
    """Delete all entries of runs."""
    _delete(using, runs, DELETE_QUEUED, DELETE_QUEUED_JOINED)
    _delete(using, runs, DELETE_RUNNING, DELETE_RUNNING_JOINED)
    DELETE_TROUBLED.change(using, runs=runs)


def _delete(using: str, runs: list[int], statement: Statement, joined: Statement) -> None:
    (joined if connections[using].vendor == "mysql" else statement).change(using, runs=runs)
