"""Whether a worker keeps something of each run that it has carried out."""

import argparse
import sys
import time

import psutil

from benchmarks import jobs, layouts, report
from benchmarks.drain import submit, wait_until_done
from benchmarks.layouts import Layout
from sisy.models import Overlap, Run, RunState, task_with_callable

SITE = Layout(name="PostgreSQL", commands=("sisy_worker",))
PORTIONS = 10
MAX_GROWTH = 1.05  # of the memory after the first portion
SETTLING = 1.0  # seconds


def measure(portion: int) -> list[int]:
    """Return the bytes that are resident after each portion of runs."""
    with layouts.opened(SITE) as site:
        task = task_with_callable(jobs.noop, schedule="0 0 1 1 *", overlap=Overlap.ALLOW)
        task.save()
        layouts.start(site, SITE.commands)
        worker = psutil.Process(site.processes[-1].pid)
        found = []
        for number in range(1, 1 + PORTIONS):
            report.progress(f"{number * portion:,} runs")
            submit(task, portion)
            wait_until_done(portion)
            time.sleep(SETTLING)
            found.append(worker.memory_info().rss)
        assert Run.objects.filter(state=RunState.SUCCEEDED).count() == PORTIONS * portion
        layouts.stop(site)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="in all (default: 100000)")
    options = parser.parse_args()
    found = measure(options.runs // PORTIONS)
    growth = found[-1] / found[0]
    is_met = growth <= MAX_GROWTH
    report.show(
        "MEMORY: whether a worker grows with what it has carried out",
        "One worker on PostgreSQL, and runs of a function that does nothing, in ten portions. "
        "What is resident.",
        report.table(
            ["runs", "MB"],
            [
                [f"{number * options.runs // PORTIONS:,}", f"{size / 1e6:.1f}"]
                for number, size in enumerate(found, 1)
            ],
        ),
        f"Bar: at the end at most {MAX_GROWTH} of what it was after the first portion: "
        f"{growth:.3f}: {report.verdict(is_met)}",
        module="benchmarks.memory",
        options=vars(options),
    )
    report.keep("memory", found)
    return report.judged(is_met)


if __name__ == "__main__":
    sys.exit(main())
