"""How long the dashboard's pages take where there are many tasks and a long ledger."""

import argparse
import re
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from benchmarks import layouts, ledger, many, report
from benchmarks.layouts import Layout
from sisy.dashboard.pages import PAGES
from sisy.models import Run, Task, TaskChange
from sisy.records.task_change import MAX_KEPT

SITE = Layout(name="PostgreSQL", commands=())
TASKS = 100_000
RUNS = 10_000_000
TIMES = 7
BAR = 0.3  # seconds of the server's time


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a page takes.

    Attributes:
        seconds: the server's, median.
        of_statements: the seconds that its statements take when they are sent alone, median.
        statements: how many they are.
    """

    seconds: float
    of_statements: float
    statements: int


def measure(tasks: int, runs: int, times: int) -> dict[str, Look]:
    with layouts.opened(SITE):
        report.progress(f"storing {tasks:,} tasks and {runs:,} runs")
        store(tasks, runs)
        browser = Client(raise_request_exception=True)
        browser.force_login(get_user_model().objects.create_superuser("bench"))
        report.progress("looking at each page")
        with override_settings(ROOT_URLCONF="tests.urls"):
            return {name: look(browser, address, times) for name, address in addresses().items()}


def store(tasks: int, runs: int) -> None:
    """Store tasks of many schedules that are due within a day, and runs of the last day."""
    many.store(tasks)
    ledger.store(runs)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sisy_task SET schedule = concat(mod(id, 60), ' ', mod(id, 24), ' * * *'), "
            "next_run = now() + mod(id, 86400) * interval '1 second'"
        )
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


def addresses() -> dict[str, str]:
    """Return where each page is that somebody looks at."""
    run = Run.objects.order_by("-pk").first()
    assert run is not None
    of_task = dict.fromkeys(("task", "backfill", "reschedule", "revert"), run.task_id)
    change = a_change_of(run.task_id)
    keys = {**of_task, "run": run.pk}
    return {
        name: "/sisy/"
        + re.sub("<int:pk>", str(keys.get(name)), route).replace("<int:change>", str(change))
        for name, (route, page) in PAGES.items()
        if "parts" in vars(page)
    }


def a_change_of(pk: int) -> int:
    """Change a task as often as is kept, and return the key of the newest of these changes."""
    task = Task.objects.get(pk=pk)
    for priority in range(MAX_KEPT):
        task.priority, task.schedule = priority - 100, f"{priority} 3 * * *"
        task.save()
    return TaskChange.objects.filter(task_id=pk).latest("pk").pk


def look(browser: Client, address: str, times: int) -> Look:
    with CaptureQueriesContext(connection) as asked:
        answer(browser, address)
        statements = [each["sql"] for each in asked]  # each further request forgets them
    taken: list[float] = []
    taken_raw: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        answer(browser, address)
        answered = time.perf_counter()
        ask(statements)
        taken.append(answered - begun)
        taken_raw.append(time.perf_counter() - answered)
    return Look(
        seconds=statistics.median(taken),
        of_statements=statistics.median(taken_raw),
        statements=len(statements),
    )


def ask(statements: list[str]) -> None:
    """Send a page's statements, and do nothing with what they return."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            if statement.startswith("SELECT"):
                cursor.execute(statement)
                cursor.fetchall()


def answer(browser: Client, address: str) -> None:
    cache.clear()  # as for the first who looks in a minute
    response: Any = browser.get(address)
    assert response.status_code == 200, (address, response)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--tasks", type=int, default=TASKS, help=f"by default {TASKS:,}")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"by default {RUNS:,}")
    parser.add_argument("--times", type=int, default=TIMES, help=f"by default {TIMES}")
    options = parser.parse_args()
    found = measure(options.tasks, options.runs, options.times)
    are_met = all(page.seconds <= BAR for page in found.values())
    report.show(
        "DASHBOARD: how long its pages take",
        f"{options.tasks:,} tasks, {options.runs:,} runs. The server's time for a whole page, "
        f"medians of {options.times};\nthe same as a multiple of what its statements alone take; "
        "and how many these are.",
        report.table(
            ["page", "times raw", "ms", "statements", "bar"],
            [
                [
                    name,
                    f"{page.seconds / page.of_statements:.1f}",
                    report.milliseconds(page.seconds),
                    str(page.statements),
                    f"<= {BAR * 1e3:g}: {report.verdict(page.seconds <= BAR)}",
                ]
                for name, page in found.items()
            ],
        ),
        module="benchmarks.dashboard",
        options=vars(options),
    )
    report.keep("dashboard", {name: asdict(page) for name, page in found.items()})
    return report.judged(are_met)


if __name__ == "__main__":
    sys.exit(main())
