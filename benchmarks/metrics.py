"""What a scrape of the metrics costs at many tasks and runs, and what counting costs a run.

Of a scrape, measured are its statements, the CPU time of this process and of its session of
PostgreSQL, and the time until the answer, which other programs on the machine lengthen. So the
bars are about the CPU time. The fastest quarter of repetitions is shown, since the others were
disturbed. The backlog is a million ready runs of one queue, or the number of tasks if
that is less, and as many that become ready later. For comparison, the same is measured of as many
gauges of prometheus_client that are in memory.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection
from django.test.utils import CaptureQueriesContext, override_settings
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from benchmarks import layouts, ledger, many, report
from benchmarks.layouts import Layout
from sisy import clock, signals
from sisy.models import Process, Role, Run, RunState
from sisy.monitoring import counting
from sisy.monitoring.exposition import exposition

SITE = Layout(name="PostgreSQL", commands=())
TASKS, RUNS = 1_000_000, 10_000_000
TIMES = 40
FASTEST = 0.25
PROCESSES = 20  # with a lease, each with four slots
QUEUES = ("default", "mail", "reports", "slow")
LABELS = 100  # of tasks with metrics of their own
COUNTED = 10_000  # runs, to measure what counting costs

# What Prometheus 2 sends. Prometheus 3 also asks for names in UTF-8.
PROMETHEUS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

MAX_STATEMENTS = 3
MAX_SECONDS = 0.005
MAX_BACKLOG_SECONDS = 0.025
MAX_SECONDS_PER_RUN = 20e-6

# Runs are ready when they were planned, or an hour later.
BACKLOG = """
    INSERT INTO sisy_queued_run
        (task_id, run_id, engine, queue, priority, ready_at, is_delayed, is_ahead)
    SELECT -n, -n, '', %(queue)s, n %% 3, %(now)s + %(delay)s * interval '1 second', %(delay)s > 0,
        false
    FROM generate_series(%(first)s, %(last)s) AS n
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What was measured, and the most that it may be."""

    what: str
    found: float
    unit: str
    most: float | None = None

    @property
    def is_met(self) -> bool:
        return self.most is None or self.found <= self.most

    def row(self) -> list[str]:
        bar = "" if self.most is None else f"<= {self.most:g}: {report.verdict(self.is_met)}"
        return [self.what, f"{self.found:.3g} {self.unit}", bar]


def measure(tasks: int, runs: int) -> list[Figure]:
    with layouts.opened(SITE):
        report.progress(f"storing {tasks:,} tasks and {runs:,} runs")
        many.store(tasks)
        ledger.store(runs)
        populate()
        report.progress("scraping")
        found = scraped("a scrape", MAX_SECONDS)
        with override_settings(SISY_METRICS_TASKS=["*"]):
            count_runs()
            found += scraped(f"with {LABELS} tasks", None)
        report.progress(f"storing a backlog of {tasks:,} runs")
        store_backlog(tasks)
        found += scraped("with a backlog", MAX_BACKLOG_SECONDS)
        found += [counted()]
    return found


def populate() -> None:
    """Let processes serve the queues, and let them have counted runs."""
    now = clock.now("default")
    for _ in range(PROCESSES):
        Process.join(
            Role.WORKER, using="default", now=now, lease=ledger.HOUR, queues=QUEUES, slots=4
        )
    count_runs()
    store_backlog(100)


def count_runs() -> None:
    """Count two runs of each task that may have metrics of its own."""
    states = (RunState.SUCCEEDED, RunState.FAILED)
    counting.on_ended([{"run": ended_run(n, state)} for n in range(LABELS) for state in states])
    counting.flush("default")


def ended_run(number: int = 0, state: RunState = RunState.SUCCEEDED) -> Run:
    """Return a run that has ended, and is not stored."""
    now = clock.now("default")
    run = Run(
        label=f"task {number % LABELS}",
        queue=QUEUES[number % len(QUEUES)],
        state=state,
        ready_at=now,
        started_at=now,
        finished_at=now,
        error_class="" if state == RunState.SUCCEEDED else f"shop.Error{number % 10}",
    )
    run._state.db = "default"
    return run


def store_backlog(number: int) -> None:
    """Queue so many ready runs in each of two queues, and as many that are ready later."""
    now = clock.now("default")
    with connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(-MIN(run_id), 0) FROM sisy_queued_run WHERE run_id < 0")
        ((first,),) = cursor.fetchall()
        for delay, queue in ((0, QUEUES[0]), (3600, QUEUES[1])):
            values = {"now": now, "delay": delay, "queue": queue}
            places = {"first": first + 1, "last": first + number}
            cursor.execute(BACKLOG, values | places)
            first += number
        cursor.execute("VACUUM ANALYZE sisy_queued_run")


def scraped(what: str, most: float | None) -> list[Figure]:
    exposition(PROMETHEUS)
    with CaptureQueriesContext(connection) as queries:
        metrics, _ = exposition(PROMETHEUS)
    taken, used = fastest(lambda: exposition(PROMETHEUS))
    plain = registry_like(metrics.decode())
    _, used_by_library = fastest(lambda: generate_latest(plain))
    return [
        Figure(what=f"{what}: statements", found=len(queries), unit="", most=MAX_STATEMENTS),
        Figure(what=f"{what}: CPU time", found=used * 1e3, unit="ms", most=most and most * 1e3),
        Figure(what=f"{what}: time", found=taken * 1e3, unit="ms"),
        Figure(what=f"{what}: CPU time of gauges", found=used_by_library * 1e3, unit="ms"),
        Figure(what=f"{what}: times that", found=used / used_by_library, unit=""),
    ]


def registry_like(metrics: str) -> CollectorRegistry:
    """Return gauges of prometheus_client in memory, with the labels and values of all samples."""
    registry = CollectorRegistry()
    for family in text_string_to_metric_families(metrics):
        gauges: dict[str, Gauge] = {}
        for sample in family.samples:
            names = tuple(sample.labels)
            gauge = gauges.get(sample.name)
            if gauge is None:
                gauge = Gauge(sample.name, family.documentation, names, registry=registry)
                gauges[sample.name] = gauge
            (gauge.labels(**sample.labels) if names else gauge).set(sample.value)
    return registry


def fastest(step: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds, and those of CPU time, of the fastest repetitions of a step."""
    taken, used = [], []
    for _ in range(TIMES):
        began, cpu = time.perf_counter(), ledger.cpu_time()
        step()
        used.append(ledger.cpu_time() - cpu)
        taken.append(time.perf_counter() - began)
    return report.quantile(taken, FASTEST), report.quantile(used, FASTEST)


def counted() -> Figure:
    """Measure what a finished run costs the worker that counts it."""
    news = [{"run": ended_run(number)} for number in range(COUNTED)]
    assert counting.on_ended in signals.run_finished.counters
    with override_settings(SISY_METRICS_TASKS=["*"]):
        counting.on_ended(news)
        _, used = fastest(lambda: counting.on_ended(news))
    return Figure(
        what="counting a run, also by its task",
        found=used / COUNTED * 1e6,
        unit="µs",
        most=MAX_SECONDS_PER_RUN * 1e6,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    found = measure(options.tasks, options.runs)
    are_met = all(figure.is_met for figure in found)
    report.show(
        f"METRICS: a scrape at {options.tasks:,} tasks and {options.runs:,} runs",
        f"{PROCESSES} workers, {len(QUEUES)} queues, up to {LABELS} tasks with metrics of their "
        f"own; the fastest quarter of {TIMES} repetitions.\nThe backlog: {options.tasks:,} ready "
        "runs, and as many delayed ones.",
        report.table(["what", "found", "bar"], [figure.row() for figure in found]),
        module="benchmarks.metrics",
        options=vars(options),
    )
    report.keep("metrics", {figure.what: figure.found for figure in found})
    return report.judged(are_met)


if __name__ == "__main__":
    sys.exit(main())
