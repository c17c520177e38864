"""How fast queued runs are worked off, beside a raw loop that claims and completes rows."""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass

from django.db import connection
from django.db.models import Min

from benchmarks import jobs, layouts, raw_ledger, report
from benchmarks.layouts import Layout
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

BAR, BAR_OF_RAW, BAR_OF_TWO = 6000, 0.2, 1.5
DRAIN_TIMEOUT = 300  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What works the runs off: so many worker processes, or the raw loop if none."""

    name: str
    workers: int
    function: str = "noop"

    @property
    def layout(self) -> Layout:
        return Layout(name=self.name, commands=("sisy_worker",) * self.workers)


RAW = Case(name="raw psycopg loop", workers=0)
ONE = Case(name="plain functions, one worker", workers=1)
ASYNC = Case(name="async functions, one worker", workers=1, function="anoop")
TWO = Case(name="plain functions, two workers", workers=2)
CASES = (RAW, ONE, ASYNC, TWO)
BARS = {
    ONE: f">= {BAR:,} a second, or {BAR_OF_RAW} of raw",
    ASYNC: f">= {BAR:,} a second, or {BAR_OF_RAW} of raw",
    TWO: f">= {BAR_OF_TWO} of one worker, where cores are free",
}


def measure(case: Case, count: int) -> float:
    """Return how many runs a second were worked off."""
    report.progress(f"{case.name}: {count} runs")
    with layouts.opened(case.layout) as site:
        if not case.workers:
            return raw_ledger.drained(count)
        task = task_with_callable(
            getattr(jobs, case.function), schedule="0 0 1 1 *", overlap=Overlap.ALLOW
        )
        task.save()
        Queue.objects.pause("default")
        layouts.start(site, case.layout.commands)
        submit(task, count)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rates of all cases, and what is said of them."""

    rates: dict[Case, list[float]]

    def median(self, case: Case) -> float:
        return statistics.median(self.rates[case])

    def is_met(self, case: Case) -> bool:
        rate = self.median(case)
        if case == TWO:
            return rate >= BAR_OF_TWO * self.median(ONE)
        return case == RAW or rate >= BAR or rate >= BAR_OF_RAW * self.median(RAW)

    def row(self, case: Case) -> list[str]:
        found = self.rates[case]
        return [
            case.name,
            f"{self.median(case) / self.median(RAW):.2f}",
            f"{self.median(case):,.0f}",
            f"{min(found):,.0f} to {max(found):,.0f}",
            f"{BARS[case]}: {report.verdict(self.is_met(case))}" if case in BARS else "",
        ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drain", description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument("--times", type=int, default=3, help="repetitions (default: 3)")
    options = parser.parse_args()
    rates: dict[Case, list[float]] = {case: [] for case in CASES}
    for _ in range(options.times):
        for case in CASES:
            rates[case].append(measure(case, options.runs))
    found = Found(rates=rates)
    report.show(
        "DRAIN: how many queued runs a second are worked off",
        f"{options.runs} runs of a function that does nothing are queued; their task lets them "
        f"overlap. Medians of {options.times}\ninterleaved repetitions. The raw loop claims and "
        f"completes {raw_ledger.CLAIMED_AT_ONCE} rows of a table like the\nledger at a time, and "
        "calls nothing.",
        report.table(
            ["what", "of raw", "runs/s", "from, to", "bar"], [found.row(case) for case in CASES]
        ),
        module="benchmarks.drain",
        options=vars(options),
    )
    report.keep("drain", {case.name: rates[case] for case in CASES})
    return report.judged(all(map(found.is_met, CASES)))


if __name__ == "__main__":
    sys.exit(main())
