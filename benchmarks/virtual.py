"""How long it takes to look a year ahead, and to let a year pass in a test."""

import argparse
import os
import sys
import time
from datetime import UTC, datetime, timedelta

from croniter import croniter
from django.core.management import call_command
from django.db import connection, transaction

from benchmarks import databases, jobs, layouts, report
from benchmarks.layouts import Layout
from sisy import clock
from sisy.models import Run, Task, task_with_callable
from sisy.testing import sisy_time

SITE = Layout(name="SQLite", commands=(), database=databases.SQLITE)
START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULES = (
    "{0} * * * *",
    "{0},{1},{2},{3} * * * *",
    "{0} 4 * * *",
    "{0} 9 * * mon-fri",
    "{0} 3 * * sun",
)
SAMPLE = 20  # of so many days, croniter names the moments of one
BAR_OF_SIMULATION, BAR_OF_TEST = 5.0, 30.0  # seconds


def expressions(tasks: int) -> list[str]:
    return [
        SCHEDULES[number % len(SCHEDULES)].format(
            *((number + 15 * quarter) % 60 for quarter in range(4))  # so that few are alike
        )
        for number in range(tasks)
    ]


def simulate(tasks: int, days: int) -> tuple[float, int]:
    """Return how long ``sisy_simulate`` takes, and how many tasks it looks at."""
    for number, schedule in enumerate(expressions(tasks)):
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


def step_by_croniter(tasks: int, days: int) -> float:
    """Return how long croniter takes to name the same moments, from a sample of the days."""
    sampled = max(1, days // SAMPLE)
    begun = time.perf_counter()
    for schedule in expressions(tasks):
        moments = croniter(schedule, START)
        while moments.get_next(datetime) < START + timedelta(days=sampled):
            pass
    return (time.perf_counter() - begun) * days / sampled


def write_raw(runs: int) -> float:
    """Return how long SQLite takes to store so many runs, and to change each of them twice."""
    now = clock.now("default")
    task = task_with_callable(jobs.noop)
    task.save()
    run = task.new_run(now=now)
    fields = [field for field in Run._meta.concrete_fields if not field.primary_key]
    values = [field.get_db_prep_save(getattr(run, field.attname), connection) for field in fields]
    insert = (
        f"INSERT INTO sisy_run ({', '.join(str(field.column) for field in fields)}) "
        f"VALUES ({', '.join(['?'] * len(fields))})"
    )
    raw = connection.connection
    begun = time.perf_counter()
    for _ in range(runs):
        pk = raw.execute(insert, values).lastrowid
        for state in ("running", "succeeded"):
            raw.execute("UPDATE sisy_run SET state = ? WHERE id = ?", [state, pk])
    return time.perf_counter() - begun


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
        report.progress("the raw loops")
        stepped = step_by_croniter(options.tasks, options.days)
        with transaction.atomic():
            written = write_raw(runs)
            transaction.set_rollback(True)
    assert (tasks, runs) == (options.tasks, 24 * options.days)
    is_met = [looked <= BAR_OF_SIMULATION, passed <= BAR_OF_TEST]
    report.show(
        "VIRTUAL: time that nobody waits for",
        f"{options.days} days, on SQLite. The tasks that are looked at are hourly, "
        "quarter-hourly, daily, on weekdays and weekly in turn, at minutes of their own; the task "
        "of the test is hourly. Raw: croniter names the same moments; SQLite stores as many "
        "rows, and changes each twice.",
        report.table(
            ["what", "times raw", "seconds", "bar"],
            [
                [
                    f"sisy_simulate, {tasks} tasks",
                    f"{looked / stepped:.2f}",
                    f"{looked:.1f}",
                    f"<= {BAR_OF_SIMULATION:g} s: {report.verdict(is_met[0])}",
                ],
                [
                    f"sisy.testing, {runs:,} runs",
                    f"{passed / written:.1f}",
                    f"{passed:.1f}",
                    f"<= {BAR_OF_TEST:g} s: {report.verdict(is_met[1])}",
                ],
            ],
        ),
        module="benchmarks.virtual",
        options=vars(options),
    )
    report.keep("virtual", {"simulation": [looked, stepped], "test": [passed, written]})
    return report.judged(all(is_met))


if __name__ == "__main__":
    sys.exit(main())
