"""How long after its due moment a run starts, as the ledger has it."""

import argparse
import sys
import time
from dataclasses import dataclass

from tests.processes.fleet import SECOND, every_second

from benchmarks import jobs, layouts, raw, report
from benchmarks.layouts import Layout, Usage
from sisy.models import Run, RunState

BARS = {
    layouts.WITH_VALKEY.name: {0.5: 0.003, 0.99: 0.008},
    layouts.WITHOUT_LAYER.name: {0.5: 0.003, 0.99: 0.008},
}
"""The seconds that a quantile of the lateness may reach, by layout."""

BARS_OF_ONE_PROCESS = {0.5: 0.003, 0.99: 0.015}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """The lateness of the runs that succeeded, in seconds, and how many were expected.

    Attributes:
        raw: the median of a raw loop that writes as many rows each second; None on SQLite, where
            no process can wake another one.
    """

    layout: Layout
    seconds: list[float]
    expected: int
    usage: Usage
    raw: float | None

    @property
    def bars(self) -> dict[float, float]:
        return BARS.get(self.layout.name, BARS_OF_ONE_PROCESS)

    @property
    def is_good(self) -> bool:
        is_below = all(self.at(fraction) <= bar for fraction, bar in self.bars.items())
        return is_below and len(self.seconds) == self.expected

    def at(self, fraction: float) -> float:
        return report.quantile(self.seconds, fraction) if self.seconds else float("inf")

    def row(self) -> list[str]:
        bar = ", ".join(f"p{q * 100:g} <= {bar * 1e3:g}" for q, bar in self.bars.items())
        return [
            self.layout.name,
            f"{len(self.seconds)} of {self.expected}",
            "-" if self.raw is None else f"{self.at(0.5) / self.raw:.1f}",
            *(report.milliseconds(self.at(fraction)) for fraction in (0.5, 0.99, 1)),
            bar or "(none)",
            report.verdict(self.is_good) if bar else "",
            f"{self.usage.others:.0%}",
        ]


def measure(layout: Layout, count: int, seconds: int, warm_up: int) -> Lateness:
    report.progress(f"{layout.name}: {seconds} s, after {warm_up} s of warm-up")
    with layouts.opened(layout) as site:
        tasks = every_second(count, jobs.noop)
        layouts.start(site, layout.commands)
        begin = tasks.run_for(warm_up + seconds) + warm_up * SECOND
        tasks.reaches(warm_up)
        usage = layouts.measured(site, seconds)
        time.sleep(1)
        tasks.wait_for_the_end()
        runs = list(Run.objects.filter(due_at__gte=begin, state=RunState.SUCCEEDED))
        layouts.stop(site)
        raws = raw.lateness(seconds, 1.0, count) if layout.is_on_postgres else []
    lateness = [run.lateness.total_seconds() for run in runs if run.lateness is not None]
    return Lateness(
        layout=layout,
        seconds=lateness,
        expected=count * seconds,
        usage=usage,
        raw=report.quantile(raws, 0.5) if raws else None,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lateness", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="how long (default: 30)")
    parser.add_argument("--tasks", type=int, default=20, help="how many (default: 20)")
    parser.add_argument(
        "--warm-up",
        type=int,
        default=5,
        help="seconds, in which processes import, connect, and start threads (default: 5)",
    )
    options = parser.parse_args()
    found = [
        measure(layout, options.tasks, options.seconds, options.warm_up)
        for layout in layouts.measured_ones()
    ]
    report.show(
        "LATENESS: how many milliseconds after its due moment a run starts",
        f"{options.tasks} tasks that do nothing, each due every second, for {options.seconds} s "
        f"(after {options.warm_up} s of warm-up).\nOne heartbeat and one worker, otherwise idle; "
        "figures from the ledger. Times raw: the p50 as a multiple of a raw loop's, which\n"
        "writes as many rows each second, and wakes a process that claims them. Others: the\n"
        "share of the machine that something else took meanwhile.",
        report.table(
            ["layout", "runs", "times raw", "p50 ms", "p99 ms", "max ms", "bar", "", "others"],
            [lateness.row() for lateness in found],
        ),
        module="benchmarks.lateness",
        options=vars(options),
    )
    report.keep("lateness", {each.layout.name: [each.seconds, each.raw] for each in found})
    return report.judged(all(lateness.is_good for lateness in found))


if __name__ == "__main__":
    sys.exit(main())
