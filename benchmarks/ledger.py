"""Whether a long ledger makes planning, claiming, recording, pruning or the admin slower.

Measured is the CPU time of this process and of its session of PostgreSQL. So other programs on the
machine, which let a step wait, do not count, and neither does the disk. Each step does the same
work again and again, so its fastest repetitions are those that were disturbed least.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client, override_settings

from benchmarks import jobs, layouts, report
from benchmarks.layouts import Layout
from sisy import clock, conf
from sisy.execution import Outcome
from sisy.heartbeat import plan, retention
from sisy.models import Overlap, Process, Role, Run, RunState, Task, task_with_callable
from sisy.store import entries
from sisy.worker.claim import claim
from sisy.worker.record import record

SITE = Layout(name="PostgreSQL", commands=())
TASKS = 1000
DUE = 100
TIMES = 11
LENGTHS = (10_000, 100_000, 1_000_000, 10_000_000)
FAILED = 200  # runs, however long the ledger is, so that pages show as many
INTERVAL = timedelta(milliseconds=80)  # between two runs
MAX_AGE = timedelta(days=25)  # of the oldest run, so that none is too old
MAX_SLOWDOWN = 1.1  # times as much as with the shortest ledger
FASTEST = 0.25  # of the repetitions

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def measure(length: int) -> dict[str, list[float]]:
    """Return the seconds of CPU time that each step took, time and again."""
    report.progress(f"a ledger of {length:,} runs: storing it")
    with layouts.opened(SITE):
        store(length)
        report.progress(f"a ledger of {length:,} runs: measuring")
        steps = Steps()
        found: dict[str, list[float]] = {name: [] for name in steps.all}
        for _ in range(TIMES):
            for name, step in steps.all.items():
                begun = cpu_time()
                step()
                found[name].append(cpu_time() - begun)
    return {name: taken[1:] for name, taken in found.items()}


def cpu_time() -> float:
    """Return the seconds of CPU time that this process and its session of PostgreSQL have used."""
    # To the nanosecond; the times that psutil returns are in hundredths of a second.
    pid = connection.connection.info.backend_pid
    on_cpu, *_ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return time.process_time() + int(on_cpu) / 1e9


def measure_all(lengths: Sequence[int]) -> dict[int, dict[str, float]]:
    """Return the seconds of each step; the shortest ledger is measured first and last.

    So that a machine that gets slower meanwhile is not taken for a ledger that does.
    """
    found = {length: measure(length) for length in lengths}
    if len(lengths) > 1:
        for name, taken in measure(lengths[0]).items():
            found[lengths[0]][name] += taken
    return {
        length: {name: report.quantile(taken, FASTEST) for name, taken in steps.items()}
        for length, steps in found.items()
    }


def store(length: int) -> None:
    """Store tasks, and runs of theirs that ended until now, oldest first. A few of them failed."""
    now = clock.now("default")
    for number in range(TASKS):
        task = task_with_callable(jobs.noop, label=f"task {number}", schedule="0 0 1 1 *")
        task.overlap = Overlap.ALLOW
        task.save()
    first = Task.objects.order_by("pk")[0]
    interval = min(INTERVAL, MAX_AGE / length)
    begun = now - length * interval
    ended = {"state": RunState.SUCCEEDED, "attempt": 1, "started_at": begun, "finished_at": begun}
    template = first.new_run(now=begun, due_at=now - (length + 1) * SECOND, **ended)
    template.save()
    moments = ("planned_at", "ready_at", "started_at", "finished_at")
    later = ", ".join(f"{name} + n * %(interval)s" for name in moments)
    own = ("id", "task_id", "due_at", "state", *moments)
    columns = [field.column for field in Run._meta.concrete_fields if field.column not in own]
    named = ", ".join(columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO sisy_run (task_id, due_at, state, {', '.join(moments)}, {named}) "
            f"SELECT task_id + n %% {TASKS}, due_at + n * interval '1 second', "
            "CASE WHEN n %% %(each)s = 0 THEN 'failed' ELSE state END, "
            f"{later}, {named} FROM sisy_run, generate_series(1, %(length)s) AS n",
            {"length": length, "interval": interval, "each": max(1, length // FAILED)},
        )
        cursor.execute(
            f"INSERT INTO sisy_troubled_run ({entries.TROUBLED_COLUMNS}) "
            f"SELECT {entries.TROUBLED_VALUES} FROM sisy_run WHERE {entries.IS_TROUBLED}"
        )
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")  # else it would be written to the disk meanwhile


class Steps:
    """What heartbeats, workers and people do again and again."""

    def __init__(self) -> None:
        self._worker = Process.join(
            Role.WORKER, using="default", now=clock.now("default"), lease=HOUR
        )
        user = get_user_model().objects.create_superuser("bench")
        self._browser = Client(raise_request_exception=True)
        self._browser.force_login(user)
        self._runs: list[Run] = []
        self._pk = Task.objects.order_by("pk")[5].pk
        self.all: dict[str, Callable[[], object]] = {
            f"plan {DUE} tasks": self.plan,
            f"claim {DUE} runs": self.claim,
            f"record {DUE} outcomes": self.record,
            "prune, finding nothing": self.prune_in_vain,
            "prune 500 runs": self.prune,
            "admin: list of runs": lambda: self.page("run/"),
            "admin: failed runs": lambda: self.page("run/?state__exact=failed"),
            "admin: list of tasks": lambda: self.page("task/"),
            "admin: a task": lambda: self.page(f"task/{self._pk}/change/"),
        }

    def plan(self) -> None:
        now = clock.now("default")
        pks = Task.objects.order_by("pk").values("pk")[:DUE]
        Task._base_manager.filter(pk__in=pks).update(next_run=now, planned_until=None)
        assert len(plan.plan_due("default", now).runs) == DUE

    def claim(self) -> None:
        self._runs = claim(self._worker, ["default"], DUE, clock.now("default"))
        assert len(self._runs) == DUE

    def record(self) -> None:
        now = clock.now("default")
        how = Outcome(state=RunState.SUCCEEDED, started_at=now, finished_at=now)
        record("default", [(run, how) for run in self._runs], now)

    def prune_in_vain(self) -> None:
        assert retention.prune_history("default", clock.now("default")) == 0

    def prune(self) -> None:
        """As if it were so late that 500 runs are too old."""
        days = timedelta(days=conf.get_settings().history_days)
        oldest = Run.objects.order_by("pk")[retention.PRUNE_BATCH].finished_at
        assert oldest is not None
        assert retention.prune_history("default", oldest + days) == retention.PRUNE_BATCH

    def page(self, path: str) -> None:
        with override_settings(ROOT_URLCONF="tests.urls"):
            response = self._browser.get(f"/admin/sisy/{path}")
        assert response.status_code == 200, response


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--runs", type=int, action="append", help="how many; may be repeated")
    options = parser.parse_args()
    lengths = options.runs or LENGTHS
    found = measure_all(lengths)
    shortest = found[lengths[0]]
    ratios = {
        (length, name): seconds / shortest[name]
        for length, steps in found.items()
        for name, seconds in steps.items()
    }
    are_met = all(ratio <= MAX_SLOWDOWN for ratio in ratios.values())
    report.show(
        "LEDGER: whether a long ledger makes anything slower",
        f"CPU time of each step in ms, the fastest quarter of {TIMES - 1} repetitions; in "
        "brackets, as a multiple of the\nshortest ledger's.",
        report.table(
            ["step", *(f"{length:,} runs" for length in lengths), "growth"],
            [
                [
                    name,
                    *(
                        f"{report.milliseconds(found[length][name])} ({ratios[length, name]:.2f})"
                        for length in lengths
                    ),
                    f"n^{report.exponent({n: found[n][name] for n in lengths}):.2f}",
                ]
                for name in shortest
            ],
        ),
        f"Bar: at most {MAX_SLOWDOWN} of the shortest ledger's: {report.verdict(are_met)}",
        module="benchmarks.ledger",
    )
    report.keep("ledger", found)
    return report.judged(are_met)


if __name__ == "__main__":
    sys.exit(main())
