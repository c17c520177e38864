"""How long it takes to look a year ahead, and to let a year pass in a test."""

import argparse
import os
import sys
import time
from datetime import UTC, datetime, timedelta

from django.core.management import call_command
from django.db import transaction

from benchmarks import jobs, layouts, report
from benchmarks.layouts import Layout
from sisy.models import Run, Task, task_with_callable
from sisy.testing import sisy_time

SITE = Layout(name="SQLite", commands=(), is_on_postgres=False)
START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULES = (
    "{0} * * * *",
    "{0},{1},{2},{3} * * * *",
    "{0} 4 * * *",
    "{0} 9 * * mon-fri",
    "{0} 3 * * sun",
)
BAR_OF_SIMULATION, BAR_OF_TEST = 5.0, 30.0  # seconds


def simulate(tasks: int, days: int) -> tuple[float, int]:
    """Return how long ``sisy_simulate`` takes, and how many tasks it looks at."""
    for number in range(tasks):
        minutes = [(number + 15 * quarter) % 60 for quarter in range(4)]  # so that few are alike
        schedule = SCHEDULES[number % len(SCHEDULES)].format(*minutes)
        task_with_callable(jobs.noop, schedule=schedule, label=f"task {number}").save()
    with open(os.devnull, "w") as nowhere:
        begun = time.perf_counter()
        end = START + timedelta(days=days)
        call_command("sisy_simulate", START.isoformat(), end.isoformat(), stdout=nowhere)
        return time.perf_counter() - begun, Task.objects.count()


def let_pass(days: int) -> tuple[float, int]:
    """Return how long days of an hourly task take in a test, and how many runs it had."""
    with sisy_time(START) as virtual:
        task_with_callable(jobs.noop, schedule="0 * * * *", timezone="UTC").save()
        begun = time.perf_counter()
        virtual.advance(days=days)
        return time.perf_counter() - begun, Run.objects.count()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.virtual", description=__doc__)
    parser.add_argument("--days", type=int, default=365, help="to pass (default: 365)")
    parser.add_argument("--tasks", type=int, default=100, help="to look at (default: 100)")
    options = parser.parse_args()
    with layouts.opened(SITE):
        report.progress("sisy_simulate")
        with transaction.atomic():
            looked, tasks = simulate(options.tasks, options.days)
            transaction.set_rollback(True)
        report.progress("sisy.testing")
        with transaction.atomic():  # as Django's TestCase does
            passed, runs = let_pass(options.days)
            transaction.set_rollback(True)
    assert (tasks, runs) == (options.tasks, 24 * options.days)
    is_met = [looked <= BAR_OF_SIMULATION, passed <= BAR_OF_TEST]
    report.show(
        "VIRTUAL: time that nobody waits for",
        f"{options.days} days, on SQLite. The tasks that are looked at are hourly, "
        "quarter-hourly, daily, on weekdays and weekly in turn, at minutes of their own; the task "
        "of the test is hourly.",
        report.table(
            ["what", "seconds", "bar"],
            [
                [
                    f"sisy_simulate, {tasks} tasks",
                    f"{looked:.1f}",
                    f"<= {BAR_OF_SIMULATION:g} s: {report.verdict(is_met[0])}",
                ],
                [
                    f"sisy.testing, {runs:,} runs",
                    f"{passed:.1f}",
                    f"<= {BAR_OF_TEST:g} s: {report.verdict(is_met[1])}",
                ],
            ],
        ),
        module="benchmarks.virtual",
        options=vars(options),
    )
    report.keep("virtual", {"simulation": looked, "test": passed})
    return report.judged(all(is_met))


if __name__ == "__main__":
    sys.exit(main())
