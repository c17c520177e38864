"""The raw loops of the drain and of submissions, on a table that does not change with Sisy's.

It has the columns and the indexes that Sisy's ledger had when the bars were set (November 2026).
So a ratio to these loops keeps its meaning when the ledger gets other indexes, or small tables
beside it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.raw_connection import RawConnection

INSERTED_AT_ONCE = 1000  # rows

TABLE = """
    CREATE TABLE raw_run (
        id $key,
        label varchar(255) NOT NULL, target_path varchar(500) NOT NULL, target_pk varchar(255),
        payload $json NOT NULL, origin varchar(20) NOT NULL, queue varchar(60) NOT NULL,
        priority smallint NOT NULL, engine varchar(60) NOT NULL, due_at $moment,
        ready_at $moment NOT NULL, planned_at $moment NOT NULL, dispatched_at $moment,
        started_at $moment, finished_at $moment, state varchar(20) NOT NULL,
        reason varchar(500) NOT NULL, attempt integer NOT NULL CHECK (attempt >= 0),
        times_lost integer NOT NULL CHECK (times_lost >= 0), unresolved_since $moment,
        worker_name varchar(300) NOT NULL, occurrence_at $moment,
        cancel_requested_at $moment, cancel_force boolean NOT NULL,
        cancel_reason varchar(500) NOT NULL, result $json, error text NOT NULL,
        error_class varchar(255) NOT NULL, due_until $moment,
        count bigint NOT NULL CHECK (count >= 0), blocked_by_id bigint, process_id bigint,
        retry_of_id bigint,
        task_id bigint REFERENCES raw_task (id) $deferred,
        UNIQUE (task_id, due_at)
    )
"""
INDEXES = (
    ("state, engine, queue, priority DESC, ready_at, id", "state = 'queued'"),
    ("state, ready_at", "state = 'queued'"),
    ("state, process_id", "state = 'running'"),
    ("state, task_id", "state IN ('queued', 'running')"),
    (
        "state, id DESC",
        "state IN ('failed', 'timed_out', 'cancelled', 'lost', 'missed', 'skipped')",
    ),
    ("task_id, id DESC", ""),
    ("finished_at", ""),
)
"""Columns and condition. MariaDB has no conditions, so there all rows are in each index."""

COLUMNS = """
    task_id, label, target_path, payload, origin, queue, priority, ready_at,
    planned_at, state, reason, attempt, times_lost, worker_name, cancel_force, cancel_reason,
    error, error_class, engine, count
"""
VALUES = """
    1, 'benchmarks.jobs.noop', 'benchmarks.jobs.noop', '{}', 'once', 'default', 0, $now, $now,
    'queued', '', 0, 0, '', false, '', '', '', '', 1
"""
INSERT = f"INSERT INTO raw_run ({COLUMNS}) VALUES"
READY = """
    state = 'queued' AND queue = 'default' AND ready_at <= $now
    ORDER BY priority DESC, ready_at, id
"""
START = "state = 'running', started_at = $now, attempt = attempt + 1"
COMPLETE = "state = 'succeeded', finished_at = $now"


@contextmanager
def ledger() -> Iterator[RawConnection]:
    """Make the table; drop it in the end."""
    with RawConnection() as raw:
        raw.execute("CREATE TABLE raw_task (id bigint PRIMARY KEY)")
        raw.execute("INSERT INTO raw_task VALUES (1)")
        raw.execute(TABLE)
        for number, (columns, condition) in enumerate(INDEXES):
            raw.create_index(f"raw_run_{number}", "raw_run", columns, condition)
        raw.commit()
        yield raw
        raw.execute("DROP TABLE raw_run")
        raw.execute("DROP TABLE raw_task")
        raw.commit()


def insert(raw: RawConnection, count: int) -> None:
    """Insert one row and commit, again and again: the least that a submission takes."""
    for _ in range(count):
        raw.execute(f"{INSERT} ({VALUES})")
        raw.commit()


def insert_many(raw: RawConnection, count: int) -> None:
    """Insert 1,000 rows and commit, again and again, as fast as the database takes them."""
    for start in range(0, count, INSERTED_AT_ONCE):
        rows = min(INSERTED_AT_ONCE, count - start)
        if raw.vendor == "postgresql":
            raw.copy("raw_run", COLUMNS, raw.execute(f"SELECT {VALUES}") * rows)
        else:
            raw.execute(f"{INSERT} {', '.join([f'({VALUES})'] * rows)}")
        raw.commit()


def drained(count: int) -> float:
    """Store so many rows, and return how many a second were claimed and completed."""
    with ledger() as raw:
        insert_many(raw, count)
        raw.learn("raw_run")
        begun = time.perf_counter()
        _drain(raw)
        seconds = time.perf_counter() - begun
        done = raw.execute("SELECT count(*) FROM raw_run WHERE state = 'succeeded'")
        assert done == [(count,)]
    return count / seconds


def _drain(raw: RawConnection) -> None:
    """Do what any worker must, and nothing else."""
    while claimed := raw.claim("raw_run", READY, START):
        raw.commit()
        raw.change("raw_run", claimed, COMPLETE)
        raw.commit()
