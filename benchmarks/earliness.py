"""How close to its moment the earliest start is: no function may be called before its moment.

PostgreSQL runs on this host, so its clock is the one that each function reads first of all. The
distance between call and moment is exact, unless somebody sets the clock meanwhile.
"""

import argparse
import asyncio
import random
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from tests.processes.fleet import every_second

from benchmarks import jobs, layouts, report
from sisy import clock
from sisy.models import Overlap
from sisy.worker.early_claim import StartTimers

LAYOUT = layouts.WITHOUT_LAYER
CLOSE = 0.001  # seconds
LEADS = (0.01, 0.1)  # seconds by which a claim precedes the moment
TIMER_BATCH = 500  # timers; more would keep the loop so busy that none is called on the dot


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """Seconds from moments to the calls of functions; negative if one was early."""

    name: str
    distances: list[float]
    seconds: float

    @property
    def early(self) -> int:
        return sum(distance < 0 for distance in self.distances)

    def row(self) -> list[str]:
        close = sum(distance < CLOSE for distance in self.distances)
        return [
            self.name,
            f"{len(self.distances):,}",
            f"{self.seconds:.0f}",
            f"{close:,}",
            f"{min(self.distances) * 1e6:,.0f}",
            f"{report.quantile(self.distances, 0.5) * 1e6:,.0f}",
            f"{self.early:,}",
        ]


def whole_site(tasks: int, seconds: int, notebook: Path) -> Starts:
    """Let tasks fall due each second; heartbeats, claims and the ledger are all at work."""
    report.progress(f"a site, {tasks} tasks each second for {seconds} s")
    with layouts.opened(LAYOUT) as site:
        due = every_second(tasks, jobs.note_distance, overlap=Overlap.ALLOW)
        environment = {jobs.NOTEBOOK: str(notebook)}
        site.manage("sisy_worker", "--concurrency", str(tasks), **environment)
        layouts.start(site, ["sisy_heartbeat"])
        due.run_for(seconds)
        due.wait_for_the_end()
        layouts.stop(site)
    distances = jobs.noted_distances(notebook)
    if len(distances) != tasks * seconds:
        raise RuntimeError(f"{len(distances)} calls of {tasks * seconds} were noted")
    return Starts(name="a site, scheduled runs", distances=distances, seconds=seconds)


def timers_alone(count: int) -> Starts:
    """Let a worker's timers decide when to call, without a ledger around them."""
    report.progress(f"timers of a worker, {count:,} calls")
    with layouts.opened(LAYOUT):
        begun = time.perf_counter()
        distances = asyncio.run(_let_timers_call(count))
        return Starts(
            name="the timers of a worker",
            distances=distances,
            seconds=time.perf_counter() - begun,
        )


async def _let_timers_call(count: int) -> list[float]:
    distances: list[float] = []
    called = asyncio.Event()

    def call(run: Any) -> None:
        distances.append(time.time() - run.ready_at.timestamp())
        called.set()

    def give_back(run: Any) -> None:
        raise RuntimeError(f"The moment of a run is far away: {run.ready_at}")

    timers = StartTimers("default", call, give_back)
    begun = 0
    while begun < count:
        # A worker's claim reads the clock, too, just before its runs get their timers.
        await asyncio.to_thread(clock.read_again, "default")
        now = datetime.now(UTC)
        for number in range(begun, min(begun + TIMER_BATCH, count)):
            moment = now + timedelta(seconds=random.uniform(*LEADS))
            timers.call_at_its_moment(SimpleNamespace(id=number, attempt=1, ready_at=moment))
            begun += 1
        while len(distances) < begun:
            called.clear()
            await called.wait()
    return distances


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.earliness", description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="of a site (default: 120)")
    parser.add_argument("--tasks", type=int, default=100, help="due each second (default: 100)")
    parser.add_argument(
        "--timers", type=int, default=1_000_000, help="calls without a site (default: 1,000,000)"
    )
    options = parser.parse_args()
    with TemporaryDirectory(prefix="sisybench") as folder:
        notebook = Path(folder, "notebook")
        found = [
            whole_site(options.tasks, options.seconds, notebook),
            timers_alone(options.timers),
        ]
    report.show(
        "EARLINESS: how many microseconds after its moment a function is called",
        f"By the clock of PostgreSQL, which is on the same host. {LAYOUT.name}; the site has one "
        "heartbeat and one worker\nwith a slot for each task. The timers are given their moments "
        f"{LEADS[0] * 1e3:g} to {LEADS[1] * 1e3:g} ms ahead, {TIMER_BATCH} at a time, with one "
        "reading of the clock.",
        report.table(
            ["what", "calls", "seconds", "within 1 ms", "least us", "p50 us", "early"],
            [starts.row() for starts in found],
        ),
        module="benchmarks.earliness",
        options=vars(options),
    )
    figures = {each.name: [len(each.distances), min(each.distances)] for each in found}
    report.keep("earliness", figures)
    # Earliness does not depend on how busy the machine is, so that a quick look judges it, too.
    return 1 if any(starts.early for starts in found) else 0


if __name__ == "__main__":
    sys.exit(main())
