"""OpenTelemetry: counters and histograms of the runs that this process ends.

Import this module only if opentelemetry-api is installed.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics
from opentelemetry.metrics import Counter, Histogram, MeterProvider

from sisy import signals
from sisy.models import RunState
from sisy.monitoring.counting import reason_of
from sisy.monitoring.counts import DURATION_BOUNDS, LATENESS_BOUNDS
from sisy.monitoring.tracing import SCOPE, safely

if TYPE_CHECKING:
    from sisy.models import Run

API = "opentelemetry.metrics"

News = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """The instruments of this process."""

    runs: Counter
    retries: Counter
    lateness: Histogram
    duration: Histogram

    @staticmethod
    @lru_cache(maxsize=1)
    def of(provider: MeterProvider) -> "Instruments":
        """Return the instruments of a provider, created once."""
        meter = provider.get_meter(SCOPE)
        return Instruments(
            runs=meter.create_counter(
                "sisy.runs", unit="{run}", description="Occurrences and other runs that ended"
            ),
            retries=meter.create_counter(
                "sisy.retries",
                unit="{attempt}",
                description="Attempts after which a run was queued again",
            ),
            lateness=meter.create_histogram(
                "sisy.run.lateness",
                unit="s",
                description="Time from when a run was ready until it started",
                explicit_bucket_boundaries_advisory=LATENESS_BOUNDS,
            ),
            duration=meter.create_histogram(
                "sisy.run.duration",
                unit="s",
                description="Duration of the last attempt of executed runs",
                explicit_bucket_boundaries_advisory=DURATION_BOUNDS,
            ),
        )


def instruments() -> Instruments | None:
    """Return the instruments; None if no SDK is configured."""
    provider = metrics.get_meter_provider()
    if type(provider).__module__.startswith(API):
        return None
    return Instruments.of(provider)


def on_ended(news: News) -> None:
    """Record runs that have ended, and those that were lost and are queued again."""
    safely(_record, news)


def on_retrying(news: News) -> None:
    """Record failed attempts after which the run is queued again."""
    safely(_record_retries, news)


def _record(news: News) -> None:
    if (to := instruments()) is None:
        return
    for each in news:
        run: Run = each["run"]
        if run.state == RunState.QUEUED:
            _retry(to, run, "lost")
            continue
        queue = {"messaging.destination.name": run.queue}
        outcome = {"sisy.run.outcome": str(run.state), "sisy.run.reason": reason_of(run)}
        to.runs.add(run.count, queue | outcome)
        if (lateness := run.lateness) is not None and (duration := run.duration) is not None:
            to.lateness.record(max(0.0, lateness.total_seconds()), queue)
            to.duration.record(duration.total_seconds(), queue)


def _record_retries(news: News) -> None:
    if (to := instruments()) is not None:
        for each in news:
            _retry(to, each["run"], each["run"].error_class)


def _retry(to: Instruments, run: "Run", reason: str) -> None:
    to.retries.add(1, {"messaging.destination.name": run.queue, "sisy.run.reason": reason})


def connect() -> None:
    """Record from now on."""
    for signal in (
        signals.run_finished,
        signals.run_lost,
        signals.run_missed,
        signals.run_skipped,
        signals.run_rejected,
        signals.run_cancelled,
    ):
        signal.connect_counter(on_ended)
    signals.run_retrying.connect_counter(on_retrying)
