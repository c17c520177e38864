"""The metrics of a site, for prometheus_client.

Import this module only if prometheus_client is installed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import accumulate
from typing import TypeVar

from django.db import router
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from sisy import clock
from sisy.models import RunState, Task
from sisy.monitoring.counting import is_of_own_metrics
from sisy.monitoring.counts import (
    BOUNDS,
    BY_TASK,
    DURATION,
    LATENESS,
    OTHER,
    RETRIES,
    RINGS,
    RUNS,
    TASK_DURATION,
    TASK_LATENESS,
    TASK_RUNS,
    Labels,
)
from sisy.monitoring.snapshot import QueueState, Snapshot
from sisy.records.choices import LIVE_STATES
from sisy.records.problems import Kind, severity_of

OF_QUEUES: Sequence[tuple[str, str, Callable[[Snapshot, QueueState], float]]] = (
    (
        "sisy_queue_ready_runs",
        "Runs that are ready to start, counted up to 10,000 for each priority.",
        lambda site, queue: queue.ready,
    ),
    (
        "sisy_queue_oldest_ready_seconds",
        "Age of the oldest ready run. Use it to scale workers.",
        lambda site, queue: site.age(queue.oldest),
    ),
    (
        "sisy_queue_running_runs",
        "Runs that are running.",
        lambda site, queue: queue.running,
    ),
    (
        "sisy_queue_slots",
        "Slots of the workers that serve the queue. A worker counts in each of its queues.",
        lambda site, queue: queue.slots,
    ),
    (
        "sisy_queue_paused",
        "1 if the queue is paused.",
        lambda site, queue: queue.is_paused,
    ),
)

COUNTED: Sequence[tuple[str, str, str, Sequence[str]]] = (
    (
        RUNS,
        "sisy_run_reasons",
        "Finished runs, including missed and skipped occurrences, by reason.",
        ("queue", "outcome", "reason"),
    ),
    (
        RETRIES,
        "sisy_retries",
        "Attempts after which the run was queued again.",
        ("queue", "reason"),
    ),
    (
        RINGS,
        "sisy_doorbell_rings",
        "Wake-up messages that workers received from other processes. Stored when a worker "
        "executes runs.",
        ("channel",),
    ),
    (TASK_RUNS, "sisy_task_runs", "Finished runs by task.", ("task", "outcome")),
)

MEASURED: Sequence[tuple[str, str, str, Sequence[str]]] = (
    (
        LATENESS,
        "sisy_run_lateness_seconds",
        "Delay of executed runs, from ready to started.",
        ("queue",),
    ),
    (
        DURATION,
        "sisy_run_duration_seconds",
        "Duration of the last attempt of executed runs.",
        ("queue",),
    ),
    (TASK_LATENESS, "sisy_task_lateness_seconds", "Delay of runs by task.", ("task",)),
    (TASK_DURATION, "sisy_task_duration_seconds", "Duration of runs by task.", ("task",)),
)

VERSION = version("sisy")

V = TypeVar("V")

OUTCOMES = tuple(state.value for state in RunState if state not in LIVE_STATES)


class SisyCollector(Collector):
    """Yields the metrics of a site. Each scrape reads the database, in three statements.

    ``SISY_METRICS_TASKS`` names the tasks with metrics of their own.

    Args:
        using: the alias of the database; by default the one to which the routers write tasks.
    """

    def __init__(self, using: str | None = None) -> None:
        self._using = using

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that a registry queries no database when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        using = self._using or router.db_for_write(Task)
        site = Snapshot.at(using, clock.now(using))
        yield InfoMetricFamily("sisy", "The version of Sisy.", {"version": VERSION})
        yield from _of_queues(site)
        yield from _of_processes(site)
        yield from _of_messages(site)
        yield _outcomes(site)
        yield from _counted(site)
        yield from _measured(site)


def _of_queues(site: Snapshot) -> Iterator[Metric]:
    for name, text, value_of in OF_QUEUES:
        family = GaugeMetricFamily(name, text, labels=("engine", "queue"))
        for (engine, queue), state in sorted(site.queues.items()):
            family.add_metric((engine or "sisy", queue), float(value_of(site, state)))
        yield family


def _of_processes(site: Snapshot) -> Iterator[Metric]:
    processes = GaugeMetricFamily("sisy_processes", "Processes with a lease.", labels=("role",))
    renewed = GaugeMetricFamily(
        "sisy_lease_renewed_timestamp_seconds",
        "When a process of the role last renewed its lease, by the database's clock.",
        labels=("role",),
    )
    for role, number in site.processes.items():
        processes.add_metric((role,), number)
        if role in site.renewed_at:
            renewed.add_metric((role,), site.renewed_at[role].timestamp())
    yield processes
    yield renewed
    yield GaugeMetricFamily(
        "sisy_leases_expired",
        "Processes whose lease has expired, and whose runs no heartbeat has rescued yet.",
        site.expired,
    )
    yield GaugeMetricFamily("sisy_slots", "Slots of all workers that can start runs.", site.slots)
    yield GaugeMetricFamily(
        "sisy_planning_overdue_seconds",
        "How long the longest overdue task has been due but not planned.",
        site.age(site.due_since),
    )


def _of_messages(site: Snapshot) -> Iterator[Metric]:
    number = GaugeMetricFamily(
        "sisy_outbox_messages",
        "Alert messages that are waiting to be sent, or could not be sent.",
        labels=("state",),
    )
    for state, (count, _) in site.outbox.items():
        number.add_metric((state,), count)
    yield number
    _, since = site.outbox.get("queued", (0, None))
    yield GaugeMetricFamily(
        "sisy_outbox_oldest_seconds",
        "Age of the oldest message that is waiting to be sent.",
        site.age(since),
    )
    alerts = GaugeMetricFamily("sisy_alerts_open", "Open alerts.", labels=("kind", "severity"))
    for kind in Kind.values:
        alerts.add_metric((kind, severity_of(kind)), site.alerts.get(kind, 0))
    yield alerts


def _outcomes(site: Snapshot) -> Metric:
    """Return the number of runs by outcome, including outcomes that no run has had.

    Otherwise, the first increase of a series would be invisible to `rate` and `increase`.
    """
    family = CounterMetricFamily(
        "sisy_runs",
        "Finished runs, including missed and skipped occurrences.",
        labels=("queue", "outcome"),
    )
    totals: Counter[Labels] = Counter()
    for (queue, outcome, _), number in site.counts.counters.get(RUNS, {}).items():
        totals[queue, outcome] += number
    queues = {queue for queue, _ in totals} | {queue for _, queue in site.queues}
    for queue in sorted(queues):
        for outcome in OUTCOMES:
            family.add_metric((queue, outcome), totals[queue, outcome])
    return family


def _counted(site: Snapshot) -> Iterator[Metric]:
    for name, exposed, text, labels in COUNTED:
        family = CounterMetricFamily(exposed, text, labels=labels)
        for values, number in _wanted(name, site.counts.counters):
            family.add_metric(values, number)
        yield family


def _measured(site: Snapshot) -> Iterator[Metric]:
    for name, exposed, text, labels in MEASURED:
        family = HistogramMetricFamily(exposed, text, labels=labels)
        bounds = [*map(str, BOUNDS[name]), "+Inf"]
        for values, (*buckets, total) in _wanted(name, site.counts.histograms):
            cumulative = list(zip(bounds, accumulate(buckets), strict=True))
            family.add_metric(values, cumulative, total)
        yield family


def _wanted(name: str, metrics: dict[str, dict[Labels, V]]) -> list[tuple[Labels, V]]:
    """Return the series of a metric in order, without tasks that have no metrics any more."""
    series = sorted(metrics.get(name, {}).items(), key=lambda one: one[0])
    if name not in BY_TASK:
        return series
    return [
        (labels, value)
        for labels, value in series
        if labels[0] == OTHER or is_of_own_metrics(labels[0])
    ]
