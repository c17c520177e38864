"""How soon an idle worker calls the function of a run that was just submitted."""

import argparse
import sys
import time

from django.test import override_settings
from tests.settings import layer

from benchmarks import jobs, layouts, raw, report
from benchmarks.layouts import Layout
from sisy.models import Run, RunState, Task

SITE = Layout(name="PostgreSQL and Valkey", commands=("sisy_worker",), has_valkey=True)
BARS = {0.5: 0.005, 0.99: 0.020}
INTERVAL = 0.05  # seconds between two submissions: the worker is idle by then
WARM_UP = 20


def measure(count: int) -> tuple[list[float], list[float]]:
    """Return the seconds from each submission, its commit included, to the start.

    And those of a raw loop, which writes a row and wakes a process that claims it.
    """
    with layouts.opened(SITE) as site:
        layouts.start(site, SITE.commands)
        with override_settings(CHANNEL_LAYERS={"default": layer(site.environment["VALKEY_URL"])}):
            for _ in range(WARM_UP + count):
                Task.run_once(jobs.noop)
                time.sleep(INTERVAL)
        time.sleep(1)
        report.progress("the raw loop")
        raws = raw.lateness(count, INTERVAL)
        runs = list(Run.objects.order_by("pk"))[WARM_UP:]
        layouts.stop(site)
    if any(run.state != RunState.SUCCEEDED or run.attempt != 1 for run in runs):
        raise RuntimeError("Not all runs have succeeded at once.")
    lateness = [run.lateness for run in runs]
    return [each.total_seconds() for each in lateness if each is not None], raws


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="how many (default: 500)")
    options = parser.parse_args()
    report.progress(f"{options.runs} submissions")
    found, raws = measure(options.runs)
    at = {fraction: report.quantile(found, fraction) for fraction in (0.5, 0.99, 1)}
    of_raw = {fraction: report.quantile(raws, fraction) for fraction in at}
    are_met = all(at[fraction] <= bar for fraction, bar in BARS.items())
    bars = ", ".join(f"p{q * 100:g} <= {bar * 1e3:g} ms" for q, bar in BARS.items())
    report.show(
        "LATENCY: how soon an idle worker starts what was submitted",
        f"{options.runs} calls of Task.run_once, {INTERVAL:g} s apart, one worker on PostgreSQL "
        "and Valkey. From the call,\nits commit included, to the start of the function. The raw "
        "loop writes a row, commits and notifies a\nprocess, which claims the row.",
        report.table(
            ["what", "p50 ms", "p99 ms", "max ms"],
            [
                ["Task.run_once", *map(report.milliseconds, at.values())],
                ["raw loop", *map(report.milliseconds, of_raw.values())],
                ["times raw", *(f"{at[each] / of_raw[each]:.1f}" for each in at)],
            ],
        ),
        f"Bar: {bars}: {report.verdict(are_met)}",
        module="benchmarks.latency",
        options=vars(options),
    )
    report.keep("latency", {"Task.run_once": found, "raw": raws})
    return report.judged(are_met)


if __name__ == "__main__":
    sys.exit(main())
