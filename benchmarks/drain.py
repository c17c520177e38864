"""How fast queued runs are worked off, beside a raw loop that claims and completes rows."""

import argparse
import sys
import time
from dataclasses import dataclass

from django.db.models import Min

from benchmarks import databases, jobs, layouts, raw_ledger, report
from benchmarks.layouts import Layout
from benchmarks.raw_connection import CLAIMED_AT_ONCE
from sisy import clock
from sisy.models import (
    Overlap,
    Queue,
    QueuedRun,
    Run,
    RunningRun,
    RunState,
    Task,
    task_with_callable,
)

DRAIN_TIMEOUT = 300  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What works the runs off: so many worker processes, or the raw loop if none."""

    name: str
    workers: int
    function: str = "noop"

    def layout(self, database: str) -> Layout:
        commands = ("sisy_worker",) * self.workers
        return Layout(name=self.name, commands=commands, database=database)


RAW = Case(name="raw loop", workers=0)
ONE = Case(name="plain functions, one worker", workers=1)
ASYNC = Case(name="async functions, one worker", workers=1, function="anoop")
TWO = Case(name="plain functions, two workers", workers=2)
CASES = (RAW, ONE, ASYNC, TWO)
BARS = {ONE.name: 0.5, ASYNC.name: 0.4, TWO.name: 0.8}  # of the raw loop


def measure(case: Case, count: int, database: str = databases.POSTGRES) -> float:
    """Return how many runs a second were worked off."""
    report.progress(f"{case.name}: {count} runs")
    layout = case.layout(database)
    with layouts.opened(layout) as site:
        if not case.workers:
            return raw_ledger.drained(count)
        task = task_with_callable(
            getattr(jobs, case.function), schedule="0 0 1 1 *", overlap=Overlap.ALLOW
        )
        task.save()
        Queue.objects.pause("default")
        layouts.start(site, layout.commands)
        submit(task, count)
        databases.learn()
        Queue.objects.resume("default")
        wait_until_done(count)
        ended = clock.now("default")
        assert Run.objects.filter(state=RunState.SUCCEEDED, attempt=1).count() == count
        begun = Run.objects.aggregate(first=Min("started_at"))["first"]
        layouts.stop(site)
    return count / (ended - begun).total_seconds()


def submit(task: Task, count: int) -> None:
    now = clock.now("default")
    Run.objects.bulk_create((task.new_run(now=now) for _ in range(count)), batch_size=5000)


def wait_until_done(count: int) -> None:
    deadline = time.monotonic() + DRAIN_TIMEOUT
    # Of the small tables, since a join with the ledger would compete with the workers.
    while QueuedRun.objects.exists() or RunningRun.objects.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{Run.objects.live().count()} of {count} runs are not over")
        time.sleep(0.01)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drain", description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument("--times", type=int, default=3, help="repetitions (default: 3)")
    databases.add_option(parser)
    options = parser.parse_args()
    repetitions = [
        {case.name: measure(case, options.runs, options.db) for case in CASES}
        for _ in range(options.times)
    ]
    found = report.OfRaw(
        raw_of=dict.fromkeys((case.name for case in CASES), RAW.name),
        repetitions=repetitions,
        bars=databases.judged(BARS, options.db),
    )
    report.show(
        "DRAIN: how many queued runs a second are worked off",
        f"{options.runs} runs of a function that does nothing are queued; their task lets them "
        f"overlap. Medians of {options.times}\nrepetitions. The raw loop claims and completes "
        f"{CLAIMED_AT_ONCE} rows of a table like the ledger at a time, and\ncalls nothing.",
        found.table(),
        module="benchmarks.drain",
        options=vars(options),
        database=options.db,
    )
    report.keep("drain", found.kept(), options.db)
    return report.judged(found.are_met)


if __name__ == "__main__":
    sys.exit(main())
