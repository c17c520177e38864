"""How fast runs are submitted, singly and many at once, beside a raw insert-and-commit loop."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import psycopg
from django.db import connection

from benchmarks import jobs, layouts, raw_ledger, report
from benchmarks.layouts import Layout
from sisy.models import Run, Task

SITE = Layout(name="PostgreSQL", commands=())
SUBMISSION_BATCH = 1000
BAR_OF_RAW, BAR_OF_MANY = 0.45, 4.0  # of the raw loop in the same repetition


def insert_raw(count: int) -> None:
    with psycopg.connect(**layouts.address()) as connection:
        raw_ledger.insert(connection, count)


def submit_singly(count: int) -> None:
    for _ in range(count):
        Task.run_once(jobs.noop)


def submit_many(count: int) -> None:
    for start in range(0, count, SUBMISSION_BATCH):
        Task.bulk_run_once(jobs.noop, ({"n": n} for n in range(start, start + SUBMISSION_BATCH)))


WAYS: dict[str, tuple[Callable[[int], None], int]] = {
    "raw insert and commit": (insert_raw, 1),
    "Task.run_once": (submit_singly, 1),
    f"Task.bulk_run_once of {SUBMISSION_BATCH:,}": (submit_many, 10),
}
RAW, SINGLY, BULK = WAYS


def rate_of(way: str, count: int) -> float:
    """Return how many runs a second were submitted."""
    submit, times = WAYS[way]
    before = Run.objects.count()
    begun = time.perf_counter()
    submit(count * times)
    seconds = time.perf_counter() - begun
    submitted = Run.objects.count() - before
    assert submitted == (0 if way == RAW else count * times)
    return count * times / seconds


def empty_tables() -> None:
    """Let each repetition begin with empty tables."""
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        tables = [name for name in names if name.startswith(("sisy_", "raw_run"))]
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.submit", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="singly (default: 2000)")
    parser.add_argument("--times", type=int, default=5, help="repetitions (default: 5)")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with layouts.opened(SITE), raw_ledger.ledger():
        for _ in range(options.times):
            for way in WAYS:
                report.progress(way)
                rates[way].append(rate_of(way, options.runs))
            empty_tables()
    medians = {way: statistics.median(found) for way, found in rates.items()}
    # The speed of a host varies: only repetitions that ran beside each other are compared.
    ratios = {
        way: [rate / raw for rate, raw in zip(found, rates[RAW], strict=True)]
        for way, found in rates.items()
    }
    of_raw = {way: statistics.median(found) for way, found in ratios.items()}
    bars = {SINGLY: BAR_OF_RAW, BULK: BAR_OF_MANY}
    is_met = {way: of_raw[way] >= bar for way, bar in bars.items()}
    report.show(
        "SUBMIT: how many runs a second are submitted",
        f"Medians of {options.times} interleaved repetitions, of {options.runs} runs singly; "
        "nothing carries them out meanwhile.",
        report.table(
            ["what", "of raw", "from, to", "bar", "runs/s here"],
            [
                [
                    way,
                    f"{of_raw[way]:.2f}",
                    f"{min(found):.2f} to {max(found):.2f}",
                    f">= {bars[way]:g}: {report.verdict(is_met[way])}" if way in bars else "",
                    f"{medians[way]:,.0f}",
                ]
                for way, found in ratios.items()
            ],
        ),
        module="benchmarks.submit",
        options=vars(options),
    )
    report.keep("submit", {"rates": rates, "of raw": ratios})
    return report.judged(all(is_met.values()))


if __name__ == "__main__":
    sys.exit(main())
