"""How soon an idle worker calls the function of a run that was just submitted."""

import argparse
import sys
import time

from django.test import override_settings
from tests.settings import layer

from benchmarks import jobs, layouts, raw, report
from benchmarks.layouts import Layout
from sisy.messaging import carriers
from sisy.models import Run, RunState, Task

COMMANDS = ("sisy_worker",)
SITES = (
    Layout(name="PostgreSQL and Valkey", commands=COMMANDS, has_valkey=True),
    Layout(name="PostgreSQL alone", commands=COMMANDS),
)
BARS = {0.5: 0.0035, 0.99: 0.008}
INTERVAL = 0.05  # seconds between two submissions: the worker is idle by then
WARM_UP = 20


def measure(layout: Layout, count: int) -> tuple[list[float], list[float]]:
    """Return the seconds from each submission, its commit included, to the start.

    And those of a raw loop, which writes a row and wakes a process that claims it.
    """
    report.progress(f"{layout.name}: {count} submissions")
    with layouts.opened(layout) as site:
        layouts.start(site, layout.commands)
        shared = {"default": layer(site.environment["VALKEY_URL"])} if layout.has_valkey else {}
        with override_settings(CHANNEL_LAYERS=shared):
            for _ in range(WARM_UP + count):
                Task.run_once(jobs.noop)
                time.sleep(INTERVAL)
        carriers.close()
        time.sleep(1)
        report.progress("the raw loop")
        raws = raw.lateness(count, INTERVAL)
        runs = list(Run.objects.order_by("pk"))[WARM_UP:]
        layouts.stop(site)
    if any(run.state != RunState.SUCCEEDED or run.attempt != 1 for run in runs):
        raise RuntimeError("Not all runs have succeeded at once.")
    lateness = [run.lateness for run in runs]
    return [each.total_seconds() for each in lateness if each is not None], raws


def quantiles(seconds: list[float]) -> dict[float, float]:
    return {fraction: report.quantile(seconds, fraction) for fraction in (*BARS, 1)}


def rows(layout: Layout, found: list[float], raws: list[float]) -> list[list[str]]:
    at, of_raw = quantiles(found), quantiles(raws)
    return [
        [layout.name, "Task.run_once", *map(report.milliseconds, at.values())],
        ["", "raw loop", *map(report.milliseconds, of_raw.values())],
        ["", "times raw", *(f"{at[each] / of_raw[each]:.1f}" for each in at)],
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="how many (default: 500)")
    options = parser.parse_args()
    measured = {layout: measure(layout, options.runs) for layout in SITES}
    are_met = all(
        report.quantile(found, fraction) <= bar
        for found, _ in measured.values()
        for fraction, bar in BARS.items()
    )
    bars = ", ".join(f"p{q * 100:g} <= {bar * 1e3:g} ms" for q, bar in BARS.items())
    report.show(
        "LATENCY: how soon an idle worker starts what was submitted",
        f"{options.runs} calls of Task.run_once, {INTERVAL:g} s apart, one worker. From the call, "
        "its commit included, to the\nstart of the function. The raw loop writes a row, commits "
        "and notifies a process, which claims the row.",
        report.table(
            ["site", "what", "p50 ms", "p99 ms", "max ms"],
            [row for layout, found in measured.items() for row in rows(layout, *found)],
        ),
        f"Bar: {bars}: {report.verdict(are_met)}",
        module="benchmarks.latency",
        options=vars(options),
    )
    report.keep(
        "latency",
        {
            layout.name: {"Task.run_once": found, "raw": raws}
            for layout, (found, raws) in measured.items()
        },
    )
    return report.judged(are_met)


if __name__ == "__main__":
    sys.exit(main())
