"""How fast runs are submitted, singly and many at once, beside a raw insert-and-commit loop."""

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks import databases, jobs, layouts, raw_ledger, report
from benchmarks.layouts import Layout
from benchmarks.raw_connection import RawConnection
from benchmarks.raw_ledger import INSERTED_AT_ONCE
from sisy.models import Run, Task


def insert_raw(count: int) -> None:
    with RawConnection() as raw:
        raw_ledger.insert(raw, count)


def insert_many_raw(count: int) -> None:
    with RawConnection() as raw:
        raw_ledger.insert_many(raw, count)


def submit_singly(count: int) -> None:
    for _ in range(count):
        Task.run_once(jobs.noop)


def submit_many(count: int) -> None:
    for start in range(0, count, INSERTED_AT_ONCE):
        Task.bulk_run_once(jobs.noop, ({"n": n} for n in range(start, start + INSERTED_AT_ONCE)))


RAW, SINGLY = "raw insert and commit", "Task.run_once"
RAW_BULK = f"raw insert of {INSERTED_AT_ONCE:,}"
BULK = f"Task.bulk_run_once of {INSERTED_AT_ONCE:,}"
WAYS: dict[str, tuple[Callable[[int], None], int]] = {
    RAW: (insert_raw, 1),
    SINGLY: (submit_singly, 1),
    RAW_BULK: (insert_many_raw, 10),
    BULK: (submit_many, 10),
}
RAW_OF = {RAW: RAW, SINGLY: RAW, RAW_BULK: RAW_BULK, BULK: RAW_BULK}
BARS = {SINGLY: 0.6}  # of the raw loop


def rate_of(way: str, count: int) -> float:
    """Return how many runs a second were submitted."""
    submit, times = WAYS[way]
    before = Run.objects.count()
    begun = time.perf_counter()
    submit(count * times)
    seconds = time.perf_counter() - begun
    submitted = Run.objects.count() - before
    assert submitted == (0 if way == RAW_OF[way] else count * times)
    return count * times / seconds


def measure(count: int) -> dict[str, float]:
    """Return the rate of each way, from empty tables."""
    rates = {}
    for way in WAYS:
        report.progress(way)
        rates[way] = rate_of(way, count)
    databases.empty("sisy_", "raw_run")
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.submit", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="singly (default: 2000)")
    parser.add_argument("--times", type=int, default=5, help="repetitions (default: 5)")
    databases.add_option(parser)
    options = parser.parse_args()
    site = Layout(name=databases.NAMES[options.db], commands=(), database=options.db)
    with layouts.opened(site), raw_ledger.ledger():
        repetitions = [measure(options.runs) for _ in range(options.times)]
    found = report.OfRaw(
        raw_of=RAW_OF, repetitions=repetitions, bars=databases.judged(BARS, options.db)
    )
    report.show(
        "SUBMIT: how many runs a second are submitted",
        f"Medians of {options.times} interleaved repetitions, of {options.runs} runs singly, and "
        "of ten times as many at once. Nothing carries them\nout meanwhile. The raw loop for many "
        "uses COPY on PostgreSQL.",
        found.table(),
        module="benchmarks.submit",
        options=vars(options),
        database=options.db,
    )
    report.keep("submit", found.kept(), options.db)
    return report.judged(found.are_met)


if __name__ == "__main__":
    sys.exit(main())
