"""What many tasks cost: an idle second, a start, an edit, and a second in which many fall due."""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psutil
from django.db import connection
from django.db.models import Max
from tests.processes.process import wait_until
from tests.processes.site import Site

from benchmarks import jobs, layouts, raw, report
from benchmarks.layouts import Layout
from sisy import clock
from sisy.models import Run, RunState, Task, task_with_callable

SETTLING = 8  # seconds, until a heartbeat that has come up has nothing more to do
SOON = 10  # seconds until many fall due
CONDITION_TIMEOUT = 120

HEARTBEAT = "sisy_heartbeat"
WORKERS = ("sisy_worker",) * 2
COUNTS = (1_000, 100_000, 1_000_000)
TASKS_DUE_TOGETHER = {100_000: 1_000, 1_000_000: 10_000}
SITE = Layout(name="PostgreSQL and Valkey", commands=(HEARTBEAT, *WORKERS), has_valkey=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A figure, the most that it may be, and its unit."""

    what: str
    found: float
    most: float | None
    unit: str

    @property
    def is_met(self) -> bool:
        return self.most is None or self.found <= self.most

    def row(self, count: int) -> list[str]:
        bar = "" if self.most is None else f"<= {self.most:g}: {report.verdict(self.is_met)}"
        return [f"{count:,}", self.what, f"{self.found:.3g} {self.unit}", bar]


def measure(count: int, seconds_idle: int) -> list[Bar]:
    report.progress(f"{count:,} tasks: storing them")
    with layouts.opened(SITE) as site:
        store(count)
        report.progress(f"{count:,} tasks: start, and idle seconds")
        first, heartbeat = start_heartbeat(site)
        found = [Bar(what="start to first tick", found=first, most=2, unit="s")]
        time.sleep(SETTLING)
        cpu, memory = idle(heartbeat, seconds_idle)
        found += [
            Bar(what="CPU of an idle second", found=cpu * 1e3, most=2, unit="ms"),
            Bar(what="memory of the heartbeat", found=memory / 1e6, most=120, unit="MB"),
        ]
        report.progress(f"{count:,} tasks: an edit")
        found += edit()
        if due := TASKS_DUE_TOGETHER.get(count):
            layouts.start(site, WORKERS)
            report.progress(f"{count:,} tasks: {due:,} of them due in the same second")
            found += fall_due(due, is_many=due > 1_000)
        layouts.stop(site)
    return found


def store(count: int) -> None:
    """Store so many tasks that are due at midnight, by copies of one row."""
    later = clock.now("default") + timedelta(hours=12)
    template = task_with_callable(jobs.noop, label="many", schedule=f"0 {later.hour} * * *")
    template.save()
    columns = [f.column for f in Task._meta.concrete_fields if f.column not in ("id", "label")]
    named = ", ".join(columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO sisy_task (label, {named}) SELECT 'many ' || n, {named} "
            "FROM sisy_task, generate_series(2, %s) AS n",
            [count],
        )
        cursor.execute("VACUUM ANALYZE")


def start_heartbeat(site: Site) -> tuple[float, psutil.Process]:
    """Return how long after its start it has planned what was due, in seconds."""
    due = task_with_callable(jobs.noop, label="due", schedule="0 0 1 1 *", wait_for_schedule=False)
    due.save()
    begun = clock.now("default")
    layouts.start(site, [HEARTBEAT])
    wait_until(Run.objects.filter(task=due).exists)
    planned_at = Run.objects.get(task=due).planned_at
    return (planned_at - begun).total_seconds(), psutil.Process(site.processes[-1].pid)


def idle(heartbeat: psutil.Process, seconds: int) -> tuple[float, int]:
    """Return the seconds of CPU of an idle second, and the bytes of memory."""
    before = heartbeat.cpu_times()
    time.sleep(seconds)
    after = heartbeat.cpu_times()
    used = after.user + after.system - before.user - before.system
    return used / seconds, heartbeat.memory_info().rss


def edit() -> list[Bar]:
    """Let one task run each second from now on, and see how soon it does."""
    task = Task.objects.get(label="many 2")
    task.schedule = "* * * * * *"
    begun = time.perf_counter()
    task.save()
    saved = time.perf_counter() - begun
    now = clock.now("default")
    wait_until(Run.objects.filter(task=task).exists)
    first = Run.objects.filter(task=task).order_by("pk")[0].due_at
    task.pause()
    assert first is not None
    return [
        Bar(what="saving an edit", found=saved * 1e3, most=None, unit="ms"),
        Bar(
            what="saving an edit, of a raw update and commit",
            found=saved / raw.commit(),
            most=None,
            unit="times",
        ),
        Bar(
            what="from an edit to its first due moment",
            found=seconds(first, now),
            most=1,
            unit="s",
        ),
    ]


def fall_due(count: int, is_many: bool) -> list[Bar]:
    """Let so many tasks fall due in the same second."""
    due = (datetime.now(UTC) + timedelta(seconds=SOON)).replace(microsecond=0)
    pks = Task.objects.active().order_by("pk").values("pk")[:count]
    chosen = list(Task.objects.filter(pk__in=pks).values_list("pk", flat=True))
    schedule = f"{due.minute} {due.hour} * * * {due.second}"
    Task.objects.filter(pk__in=chosen).update(schedule=schedule, timezone="UTC")
    unplanned = Task.objects.unplanned()
    wait_until(lambda: not unplanned.exists())
    assert datetime.now(UTC) < due, "the heartbeat needed too long to compute when they are due"
    runs = Run.objects.filter(due_at=due)
    planned = when(lambda: runs.count() >= count)
    when(lambda: runs.filter(state=RunState.SUCCEEDED).count() >= count)
    assert runs.filter(attempt=1).count() == count
    started = runs.aggregate(last=Max("started_at"))["last"]
    most_planned, most_started = (2, 1.0) if is_many else (None, 0.15)
    return [
        Bar(
            what=f"{count:,} due: all planned",
            found=seconds(planned, due),
            most=most_planned,
            unit="s",
        ),
        Bar(
            what=f"{count:,} due: all started",
            found=seconds(started, due),
            most=most_started,
            unit="s",
        ),
    ]


def when(condition: Callable[[], bool]) -> datetime:
    """Wait for something, and return when it came; a look costs up to a tenth of a second."""
    deadline = time.monotonic() + CONDITION_TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"It has not come within {CONDITION_TIMEOUT} s.")
        time.sleep(0.05)
    return clock.now("default")


def seconds(moment: datetime, since: datetime) -> float:
    return (moment - since).total_seconds()


def growth(found: dict[int, list[Bar]]) -> list[str]:
    """Return a table of how what was measured for each number of tasks grows with it."""
    by_name: dict[str, dict[int, float]] = {}
    for count, bars in found.items():
        for bar in bars:
            by_name.setdefault(bar.what, {})[count] = bar.found
    rows = [
        [name, f"n^{report.exponent(figures):.2f}"]
        for name, figures in by_name.items()
        if len(figures) == len(found) > 1
    ]
    return [report.table(["what", "growth"], rows)] if rows else []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description=__doc__)
    parser.add_argument(
        "--tasks",
        type=int,
        action="append",
        help="how many; may be repeated",
    )
    parser.add_argument("--idle", type=int, default=20, help="seconds (default: 20)")
    options = parser.parse_args()
    found = {count: measure(count, options.idle) for count in options.tasks or COUNTS}
    report.show(
        "MANY: what many stored tasks cost",
        "One heartbeat on PostgreSQL and Valkey; two workers where tasks fall due. Memory: what "
        "is resident.",
        report.table(
            ["tasks", "what", "figure", "bar"],
            [bar.row(count) for count, bars in found.items() for bar in bars],
        ),
        *growth(found),
        module="benchmarks.many",
    )
    report.keep(
        "many",
        {count: {bar.what: bar.found for bar in bars} for count, bars in found.items()},
    )
    return report.judged(all(bar.is_met for bars in found.values() for bar in bars))


if __name__ == "__main__":
    sys.exit(main())
