"""Raw loops: the least that this host takes for what Sisy does, measured in the same run.

How fast a host commits and wakes processes differs by a factor of four from one to the next, and
with what else it does. So figures are given as multiples of these, too.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks import layouts

TABLE = """
    CREATE TABLE IF NOT EXISTS raw (
        id bigserial PRIMARY KEY, due timestamptz NOT NULL, started timestamptz
    )
"""
WRITE = "INSERT INTO raw (due) SELECT to_timestamp(%s) FROM generate_series(1, %s)"
CLAIM = "UPDATE raw SET started = clock_timestamp() WHERE started IS NULL"
LATENESS = "SELECT extract(epoch FROM started - due) FROM raw ORDER BY id"


def commit(times: int = 100) -> float:
    """Return the seconds that it takes to update one row and commit, median."""
    with psycopg.connect(**layouts.address()) as connection:
        connection.execute(TABLE)
        connection.execute(WRITE, [time.time(), 1])
        connection.commit()
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            connection.execute("UPDATE raw SET started = now() WHERE id = 1")
            connection.commit()
            taken.append(time.perf_counter() - begun)
        connection.execute("DROP TABLE raw")
    return statistics.median(taken)


def lateness(moments: int, apart: float, rows: int = 1) -> list[float]:
    """Return how many seconds after its moment another process has claimed each row.

    A loop sleeps until the moment, writes the rows, commits and notifies the other process.

    Args:
        apart: the seconds from one moment to the next.
        rows: that are written at each moment.
    """
    with psycopg.connect(**layouts.address(), autocommit=True) as connection:
        connection.execute(TABLE)
        with _claiming():
            due = time.time() + apart
            for _ in range(moments):
                time.sleep(max(0.0, due - time.time()))
                with connection.transaction():
                    connection.execute(WRITE, [due, rows])
                    connection.execute("NOTIFY raw")
                due = max(due, time.time()) + apart
            time.sleep(apart)
        found = [seconds for (seconds,) in connection.execute(LATENESS)]
        connection.execute("DROP TABLE raw")
    if None in found:
        raise RuntimeError("The raw loop has not claimed all rows.")
    return [float(seconds) for seconds in found]


@contextmanager
def _claiming() -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.raw", json.dumps(layouts.address())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listens\n"
            yield
        finally:
            process.terminate()


def claim_for_ever(address: dict[str, object]) -> None:
    with psycopg.connect(**address, autocommit=True) as connection:  # type: ignore[arg-type]
        connection.execute("LISTEN raw")
        print("listens", flush=True)
        while True:
            list(connection.notifies(stop_after=1))
            connection.execute(CLAIM)


if __name__ == "__main__":
    claim_for_ever(json.loads(sys.argv[1]))
