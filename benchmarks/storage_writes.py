"""What a run writes, from its insertion to its end: to the write-ahead log, and to rows."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import jobs, layouts, readings, report
from benchmarks.drain import wait_until_done
from benchmarks.falling_due import FallingDue
from benchmarks.layouts import Layout
from benchmarks.readings import LEDGER, Rows, Wal
from sisy.models import Queue, Run, RunState, Task, TaskState

SITE = Layout(name="PostgreSQL", commands=("sisy_worker", "sisy_heartbeat"))
WARM_UP = 300  # runs
SUBMISSION_BATCH = 1000
SETTLING = 2.5  # seconds, in which each session reports what it has done to rows
DELETION_TIMEOUT = 60  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What so many runs wrote; ``rows`` says what was done to the rows of each table."""

    runs: int
    wal: Wal
    rows: dict[str, Rows]

    @property
    def bytes_each(self) -> float:
        """The bytes of the log."""
        return self.wal.size / self.runs

    @property
    def hot_share(self) -> float:
        ledger = self.rows[LEDGER]
        return ledger.hot / ledger.updated

    def dead_each(self, *tables: str) -> float:
        """Return the dead rows that a run leaves in these tables, by default in all."""
        return sum(self.rows[table].dead for table in tables or self.rows) / self.runs


def submit_batched(count: int, seconds: int = 0) -> None:
    """Store all of them first; then they are worked off."""
    Queue.objects.pause("default")
    for start in range(0, count, SUBMISSION_BATCH):
        Task.bulk_run_once(jobs.noop, [{}] * min(SUBMISSION_BATCH, count - start))
    Queue.objects.resume("default")
    wait_until_clean(count)


def submit_singly(count: int, seconds: int = 0) -> None:
    """A worker works them off meanwhile."""
    for _ in range(count):
        Task.run_once(jobs.noop)
    wait_until_clean(count)


def fall_due(count: int, seconds: int) -> None:
    """Let an equal share of them fall due in each of so many seconds."""
    FallingDue(count // seconds, seconds).wait_until_done()


def wait_until_clean(count: int) -> None:
    """Wait until all runs are over, and the tasks that ran once are deleted."""
    wait_until_done(count)
    deadline = time.monotonic() + DELETION_TIMEOUT
    while Task.objects.filter(state=TaskState.RETIRED).exists():
        if time.monotonic() > deadline:
            raise RuntimeError("Tasks that have ended are not deleted")
        time.sleep(0.05)


WAYS: dict[str, Callable[[int, int], None]] = {
    f"Task.bulk_run_once of {SUBMISSION_BATCH:,}": submit_batched,
    "Task.run_once": submit_singly,
    "a schedule": fall_due,
}
BATCHED, SINGLY, SCHEDULED = WAYS


def measure_all(count: int, seconds: int) -> dict[str, Written]:
    """Let one worker and one heartbeat carry out so many runs of each way.

    Args:
        seconds: in each of which scheduled runs fall due.
    """
    with layouts.opened(SITE) as site:
        readings.log_only_changes()
        layouts.start(site, SITE.commands)
        submit_batched(WARM_UP)
        found = {way: measure(way, count, seconds) for way in WAYS}
        layouts.stop(site)
    return found


def measure(way: str, count: int, seconds: int) -> Written:
    report.progress(f"{way}: {count} runs")
    time.sleep(SETTLING)
    rows, begin = readings.rows(), readings.place()
    WAYS[way](count, seconds)
    wal = readings.wal_between(begin, readings.place())
    time.sleep(SETTLING)
    done = {table: each.since(rows[table]) for table, each in readings.rows().items()}
    runs = done[LEDGER].inserted
    if Run.objects.exclude(state=RunState.SUCCEEDED).exists() or runs != count:
        raise RuntimeError(f"{runs} instead of {count} runs were stored, or not all succeeded")
    return Written(runs=runs, wal=wal, rows=done)
