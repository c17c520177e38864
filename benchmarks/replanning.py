"""How late tasks of each second are while others are replanned, and how fast many are made."""

import argparse
import statistics
import sys
import time
from datetime import datetime

from django.db.models import QuerySet
from tests.support.waiting import wait_until

from benchmarks import jobs, layouts, report
from benchmarks.layouts import Layout
from sisy import clock
from sisy.models import Run, RunState, Task, task_with_callable

SITE = Layout(
    name="PostgreSQL and Valkey", commands=("sisy_heartbeat", "sisy_worker"), has_valkey=True
)
OFTEN = 20  # tasks that are due each second
SCHEDULES = 24 * 60
MADE = 10_000
BAR_LATE, BAR_MADE = 0.3, 2.0  # seconds; of the time that Django takes to insert them
REPLANNING_TIMEOUT = 600


def unsaved(count: int, label: str = "many") -> list[Task]:
    return [
        task_with_callable(
            jobs.noop,
            label=f"{label} {n}",
            schedule=f"{n % 60} {n // 60 % 24} 1 1 *",
            timezone="UTC",
        )
        for n in range(count)
    ]


def making(times: int) -> tuple[list[float], list[float]]:
    """Return the seconds that making 10,000 tasks took, by Sisy and by Django alone."""
    sisys, djangos = [], []
    for _ in range(times):
        tasks = unsaved(MADE)
        begun = time.perf_counter()
        Task.objects.bulk_create(tasks)
        sisys.append(time.perf_counter() - begun)
        Task._base_manager.all()._raw_delete("default")
        tasks = unsaved(MADE)
        begun = time.perf_counter()
        QuerySet.bulk_create(Task._base_manager.all(), tasks, batch_size=1000)
        djangos.append(time.perf_counter() - begun)
        Task._base_manager.all()._raw_delete("default")
    return sisys, djangos


def replanning(count: int) -> tuple[float, list[float], list[float], int]:
    """Change the zone of so many tasks at once.

    Returns:
        How long the heartbeat took to replan them, how late it planned the tasks of each second
        meanwhile, how late a worker started them, and how many occurrences were missed.
    """
    with layouts.opened(SITE) as site:
        for start in range(0, count, MADE):
            Task.objects.bulk_create(unsaved(min(MADE, count - start), label=f"many {start}"))
        Task.objects.bulk_create(
            task_with_callable(jobs.noop, label=f"often {n}", schedule="* * * * * *")
            for n in range(OFTEN)
        )
        often = Task.objects.filter(label__startswith="often")
        layouts.start(site, SITE.commands)
        succeeded = Run.objects.filter(state=RunState.SUCCEEDED)
        wait_until(
            lambda: succeeded.count() > 3 * OFTEN,
            "the tasks of each second run",
            REPLANNING_TIMEOUT,
        )
        report.progress(f"{count:,} tasks are changed at once")
        begun = clock.now("default")
        Task.objects.exclude(pk__in=often.values("pk")).update(timezone="Asia/Kathmandu")
        is_done = lambda: not Task.objects.unplanned().exists()  # noqa: E731
        wait_until(is_done, "all are replanned", REPLANNING_TIMEOUT)
        ended = clock.now("default")
        time.sleep(2)  # until what was due last has run
        runs = list(Run.objects.filter(task__in=often, due_at__range=(begun, ended)))
        missed = Run.objects.filter(state=RunState.MISSED, planned_at__gte=begun).count()
        layouts.stop(site)
    assert {run.state for run in runs} <= {RunState.SUCCEEDED}, "not all have run"
    planned = [late(run.planned_at, run.due_at) for run in runs]
    started = [late(run.started_at, run.due_at) for run in runs]
    return (ended - begun).total_seconds(), planned, started, missed


def late(moment: datetime | None, due: datetime | None) -> float:
    assert moment is not None
    assert due is not None
    return (moment - due).total_seconds()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replanning", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="default: 100000")
    parser.add_argument("--times", type=int, default=3, help="repetitions (default: 3)")
    options = parser.parse_args()
    with layouts.opened(Layout(name="PostgreSQL", commands=())):
        report.progress(f"{MADE:,} tasks are made at once")
        sisys, djangos = making(options.times)
    took, planned, started, missed = replanning(options.tasks)
    made = statistics.median(sisys)
    ratio = statistics.median(sisy / django for sisy, django in zip(sisys, djangos, strict=True))
    is_met = {"planned": max(planned) <= BAR_LATE, "missed": not missed, "made": ratio <= BAR_MADE}

    def bar(name: str, words: str) -> str:
        return f"{words}: {report.verdict(is_met[name])}"

    report.show(
        "REPLANNING: one update of many tasks, and many tasks made at once",
        f"{options.tasks:,} tasks of {SCHEDULES:,} schedules get another zone by one update(), "
        f"while {OFTEN} others are due each second: one heartbeat, one worker.",
        report.table(
            ["what", "figure", "bar"],
            [
                ["all are replanned after", f"{took:.1f} s", ""],
                [
                    "due moment to plan, p50, last",
                    f"{report.quantile(planned, 0.5):.3f}, {max(planned):.3f} s",
                    bar("planned", f"<= {BAR_LATE:g} s"),
                ],
                [
                    "due moment to start, p50, last",
                    f"{report.quantile(started, 0.5):.3f}, {max(started):.3f} s",
                    "",
                ],
                ["missed occurrences", str(missed), bar("missed", "0")],
                [
                    f"bulk_create of {MADE:,} tasks",
                    f"{made:.2f} s, {ratio:.2f} of Django's own",
                    bar("made", f"<= {BAR_MADE:g} of it"),
                ],
            ],
        ),
        module="benchmarks.replanning",
        options=vars(options),
    )
    report.keep(
        "replanning",
        {"took": took, "planned": planned, "started": started, "made": sisys, "ratio": ratio},
    )
    return report.judged(all(is_met.values()))


if __name__ == "__main__":
    sys.exit(main())
