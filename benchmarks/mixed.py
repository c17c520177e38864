"""How fast a mix of work is submitted and worked off, beside raw loops that do as much.

Projects seldom queue 20,000 runs of one task at a time, as the drain does. Here 200 functions are
submitted under as many labels, each run with a little data: singly by Task.run_once, by run_now of
tasks that have schedules, and by enqueue() of django.tasks, and in batches by Task.bulk_run_once.
Then the tables are analysed, and one worker with stock settings works everything off.

Compare figures with the raw loops of the same repetition: one inserts a row and commits, one
inserts a batch, and one claims and completes 100 rows at a time and calls nothing. They have a
small table of their own, so they stay the same whatever Sisy's tables look like.
"""

import argparse
import sys
import time
from collections.abc import Callable
from itertools import cycle

from django.db.models import Max, Min
from django.test import override_settings
from tests.settings import layer

from benchmarks import databases, layouts, report
from benchmarks.drain import wait_until_done
from benchmarks.layouts import Layout
from benchmarks.many_jobs import FUNCTIONS, TASKS
from benchmarks.raw_connection import CLAIMED_AT_ONCE
from benchmarks.raw_jobs import Jobs
from sisy.models import Run, RunState, Task, task_with_callable

COMMANDS = ("sisy_worker",)
BATCH = 100  # runs of one function
SINGLE_WAYS = 3

RAW_SINGLE, RAW_BATCHED = "raw insert and commit", f"raw insert of {BATCH}"
RAW_DRAIN = f"raw drain, {CLAIMED_AT_ONCE} at a time"
RUN_ONCE, RUN_NOW, ENQUEUE = "Task.run_once", "task.run_now", "enqueue() of django.tasks"
BULK, DRAIN = f"Task.bulk_run_once of {BATCH}", "drain, one worker"
RAW_OF = {
    RAW_SINGLE: RAW_SINGLE,
    RUN_ONCE: RAW_SINGLE,
    RUN_NOW: RAW_SINGLE,
    ENQUEUE: RAW_SINGLE,
    RAW_BATCHED: RAW_BATCHED,
    BULK: RAW_BATCHED,
    RAW_DRAIN: RAW_DRAIN,
    DRAIN: RAW_DRAIN,
}
"""Each figure, in the order of the report, and the raw loop that does as much."""

BARS = {RUN_ONCE: 0.6}  # of the raw loop

Rates = dict[str, float]


def userdata(number: int) -> dict[str, object]:
    return {"order": number, "customer": f"customer {number % 97}", "notify": number % 2 == 0}


def measure(single: int, batched: int, database: str) -> Rates:
    """Return how many runs a second were submitted by each way, and worked off."""
    name = f"{databases.NAMES[database]} and Valkey"
    layout = Layout(name=name, commands=COMMANDS, has_valkey=True, database=database)
    with layouts.opened(layout) as site:
        rates = measure_raw(single, batched)
        shared = {"default": layer(site.environment["VALKEY_URL"])}
        with override_settings(CHANNEL_LAYERS=shared):
            rates |= submit(single, batched)
        databases.learn()
        count = Run.objects.count()
        report.progress(f"one worker: {count} runs")
        layouts.start(site, COMMANDS)
        wait_until_done(count)
        layouts.stop(site)
        rates[DRAIN] = count / seconds_of_drain(count)
    return rates


def measure_raw(single: int, batched: int) -> Rates:
    report.progress("the raw loops")
    paths = cycle([f"{each.__module__}.{each.__name__}" for each in FUNCTIONS])
    with Jobs() as jobs:

        def submit_batches() -> None:
            for batch in batches(batched):
                jobs.submit_many(next(paths), [userdata(n) for n in batch])

        rates = {
            RAW_SINGLE: rate_of_each(lambda n: jobs.submit(next(paths), userdata(n)), single),
            RAW_BATCHED: batched / seconds_of(submit_batches),
        }
        rates[RAW_DRAIN] = (single + batched) / seconds_of(jobs.drain)
    return rates


def submit(single: int, batched: int) -> Rates:
    each = single // SINGLE_WAYS
    functions, enqueued = cycle(FUNCTIONS), cycle(TASKS)
    # As many as are run, since the runs of one must not overlap.
    later = iter(saved_tasks(each))
    ways: dict[str, Callable[[int], object]] = {
        RUN_ONCE: lambda n: Task.run_once(
            next(functions), userdata=userdata(n), label=f"order {n % len(FUNCTIONS)}"
        ),
        RUN_NOW: lambda n: next(later).run_now(),
        ENQUEUE: lambda n: next(enqueued).enqueue(n, customer=f"customer {n % 97}"),
    }
    rates = {}
    for way, submit_one in ways.items():
        report.progress(f"{way}: {each} runs")
        rates[way] = rate_of_each(submit_one, each)
    report.progress(f"{BULK}: {batched} runs")
    rates[BULK] = batched / seconds_of(lambda: submit_batches(batched))
    return rates


def submit_batches(count: int) -> None:
    functions = cycle(FUNCTIONS)
    for batch in batches(count):
        Task.bulk_run_once(next(functions), [userdata(n) for n in batch])


def saved_tasks(count: int) -> list[Task]:
    """Save tasks that have a schedule; none is due before next year."""
    functions = cycle(FUNCTIONS)
    return Task.objects.bulk_create(
        task_with_callable(
            next(functions), label=f"yearly {n}", schedule="0 0 1 1 *", userdata=userdata(n)
        )
        for n in range(count)
    )


def batches(count: int) -> list[range]:
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def rate_of_each(submit_one: Callable[[int], object], count: int) -> float:
    return count / seconds_of(lambda: [submit_one(n) for n in range(count)])


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def seconds_of_drain(count: int) -> float:
    """Return the seconds from the first start to the last end, if all have run, each once."""
    runs = Run.objects.filter(state=RunState.SUCCEEDED, attempt=1)
    if runs.count() != count:
        raise RuntimeError(f"{runs.count()} of {count} runs have succeeded at once")
    found = runs.aggregate(first=Min("started_at"), last=Max("finished_at"))
    return float((found["last"] - found["first"]).total_seconds())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mixed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--single", type=int, default=1000, help="runs submitted singly (default: 1000)"
    )
    parser.add_argument(
        "--batched", type=int, default=4000, help="runs submitted in batches (default: 4000)"
    )
    parser.add_argument("--times", type=int, default=3, help="repetitions (default: 3)")
    databases.add_option(parser)
    options = parser.parse_args()
    found = report.OfRaw(
        raw_of=RAW_OF,
        repetitions=[
            measure(options.single, options.batched, options.db) for _ in range(options.times)
        ],
        bars=databases.judged(BARS, options.db),
    )
    report.show(
        "MIXED: how fast a mix of many tasks is submitted and worked off",
        f"{len(FUNCTIONS)} functions that do nothing; {options.single} runs submitted singly, a "
        f"third by each way, and {options.batched} in batches.\nThen one worker with stock "
        f"settings works them off. Medians of {options.times} repetitions, with the raw loops in "
        "each.",
        found.table(),
        module="benchmarks.mixed",
        options=vars(options),
        database=options.db,
    )
    report.keep("mixed", found.kept(), options.db)
    return report.judged(found.are_met)


if __name__ == "__main__":
    sys.exit(main())
