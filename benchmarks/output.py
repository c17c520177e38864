"""What it costs workers to keep what runs print, beside the same runs without it."""

import argparse
import statistics
import sys
from dataclasses import dataclass

from django.db.models import Min
from tests.processes.site import Site

from benchmarks import databases, drain, jobs, layouts, report
from benchmarks.layouts import Layout, Usage
from sisy import clock
from sisy.models import Overlap, Queue, Run, RunOutput, RunState, task_with_callable

WORKER = "sisy_worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Runs of a function, and whether their output is kept."""

    name: str
    function: str
    capture: str
    has_rows: bool = False


OFF = ", SISY_CAPTURE off"
NOTHING = "prints nothing"
LINES = "prints three lines"
WORK = "computes for 2 ms, and prints three lines"
SILENT_OFF = Case(name=NOTHING + OFF, function="noop", capture="off")
SILENT = Case(name=NOTHING, function="noop", capture="all")
SAYS_OFF = Case(name=LINES + OFF, function="says", capture="off")
SAYS = Case(name=LINES, function="says", capture="all", has_rows=True)
WORKS_OFF = Case(name=WORK + OFF, function="works_and_says", capture="off")
WORKS = Case(name=WORK, function="works_and_says", capture="all", has_rows=True)
CASES = (SILENT_OFF, SILENT, SAYS_OFF, SAYS, WORKS_OFF, WORKS)
WITHOUT = {SILENT: SILENT_OFF, SAYS: SAYS_OFF, WORKS: WORKS_OFF}
BARS = {SILENT: 0.97, WORKS: 0.97, SAYS: 0.8}
"""Of the throughput without. A function that does nothing but print costs more to store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Runs per second, and the CPU milliseconds of worker and database for each run."""

    rate: float
    cpu: float


def measure(site: Site, case: Case, count: int) -> Drained:
    """Let one worker work off so many runs."""
    report.progress(f"{case.name}: {count} runs")
    Run.objects.all().delete()
    task = task_with_callable(
        getattr(jobs, case.function), schedule="0 0 1 1 *", overlap=Overlap.ALLOW
    )
    task.save()
    Queue.objects.pause("default")
    site.set(SISY_ENGINES={}, CHANNEL_LAYERS={}, SISY_CAPTURE=case.capture)
    layouts.start(site, (WORKER,))
    drain.submit(task, count)
    databases.learn()
    before = Usage.until_now(site)
    Queue.objects.resume("default")
    drain.wait_until_done(count)
    ended = clock.now("default")
    used = Usage.until_now(site).since(before)
    assert Run.objects.filter(state=RunState.SUCCEEDED, attempt=1).count() == count
    assert RunOutput.objects.count() == (count if case.has_rows else 0)
    begun = Run.objects.aggregate(first=Min("started_at"))["first"]
    layouts.stop(site)
    task.delete()
    cpu = 1000 * (sum(used.site.values()) + used.servers) / count
    return Drained(rate=count / (ended - begun).total_seconds(), cpu=cpu)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.output", description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument("--times", type=int, default=5, help="repetitions (default: 5)")
    options = parser.parse_args()
    with layouts.opened(Layout(name="PostgreSQL", commands=(WORKER,))) as site:
        repetitions = [
            {case: measure(site, case, options.runs) for case in CASES}
            for _ in range(options.times)
        ]
    rows = [[case.name, *_figures(case, repetitions)] for case in CASES]
    ratios = {case: _ratio(case, repetitions) for case in WITHOUT}
    report.show(
        "OUTPUT: how much slower runs are worked off if what they print is kept",
        f"{options.runs} runs are queued, and one worker works them off. Medians of "
        f"{options.times} interleaved repetitions. The\nratios are those to the "
        "same runs with SISY_CAPTURE off.",
        report.table(["", "runs/s", "CPU ms per run", "ratio", "of the CPU"], rows),
        module="benchmarks.output",
        options=vars(options),
        database=databases.POSTGRES,
    )
    report.keep("output", {case.name: round(ratio, 3) for case, ratio in ratios.items()})
    return report.judged(all(ratio >= BARS[case] for case, ratio in ratios.items()))


def _figures(case: Case, repetitions: list[dict[Case, Drained]]) -> list[str]:
    rate = statistics.median(one[case].rate for one in repetitions)
    cpu = statistics.median(one[case].cpu for one in repetitions)
    figures = [f"{rate:,.0f}", f"{cpu:.3f}"]
    if case not in WITHOUT:
        return [*figures, "", ""]
    of_cpu = statistics.median(one[case].cpu / one[WITHOUT[case]].cpu for one in repetitions)
    return [*figures, f"{_ratio(case, repetitions):.3f}", f"{of_cpu:.3f}"]


def _ratio(case: Case, repetitions: list[dict[Case, Drained]]) -> float:
    return statistics.median(one[case].rate / one[WITHOUT[case]].rate for one in repetitions)


if __name__ == "__main__":
    sys.exit(main())
