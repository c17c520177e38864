"""What many idle workers use of the CPU, and what one run a second adds to that."""

import argparse
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from django.test import override_settings
from tests.processes.forks import Forks
from tests.processes.process import ROOT, wait_until
from tests.processes.site import Site
from tests.settings import layer

from benchmarks import jobs, layouts, report
from benchmarks.layouts import Layout, Usage
from sisy.messaging import carriers
from sisy.models import Process, Role, Run, RunState, Task

SITES = (
    Layout(name="PostgreSQL and Valkey", commands=("sisy_heartbeat",), has_valkey=True),
    Layout(name="PostgreSQL alone", commands=("sisy_heartbeat",)),
)
WORKERS = (1, 10, 50)
BAR = 1.0  # the exponent of the growth: less than linear
MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one fleet used.

    Attributes:
        idle, busy: without runs, and with one run a second.
        idle_statements, busy_statements: of PostgreSQL, the same; without BEGIN and COMMIT.
    """

    layout: Layout
    workers: int
    idle: Usage
    busy: Usage
    idle_statements: int
    busy_statements: int

    @property
    def of_a_run(self) -> float:
        """The CPU seconds that one run adds, of Sisy's processes and PostgreSQL together."""
        return (_all(self.busy) / self.busy.at) - (_all(self.idle) / self.idle.at)

    def row(self) -> list[str]:
        return [
            self.layout.name,
            str(self.workers),
            *(
                f"{used / usage.at * MINUTE:.2f}"
                for usage in (self.idle, self.busy)
                for used in (sum(usage.site.values()), usage.servers)
            ),
            f"{self.of_a_run * 1e3:.1f}",
            f"{self.idle_statements / self.idle.at:.1f}",
            f"{self.busy_statements / self.busy.at:.1f}",
        ]


def _all(usage: Usage) -> float:
    return sum(usage.site.values()) + usage.servers


def measure(layout: Layout, workers: int, seconds: float) -> Measured:
    report.progress(f"{layout.name}, {workers} workers: twice {seconds:g} s")
    with ExitStack() as stack:
        site = stack.enter_context(layouts.opened(layout, counts_statements=True))
        shared = {"default": layer(site.environment["VALKEY_URL"])} if layout.has_valkey else {}
        stack.enter_context(override_settings(CHANNEL_LAYERS=shared))
        layouts.start_named(site, layout.commands)
        # As forks, since fifty starts of Django would take longer than all that is measured.
        forks = Forks(site.environment, ROOT)
        stack.callback(end, site, forks)
        user = layouts.named(site, "workers")
        for _ in range(workers):
            site.fork(forks, "sisy_worker", **user)
        online = Process.objects.filter(role=Role.WORKER)
        wait_until(lambda: online.count() == workers, patience=120)
        for _ in range(3):
            submit()  # what is done only once, such as connections and imports
        asked = [layouts.statements().total()]
        idle = layouts.measured(site, seconds)
        asked.append(layouts.statements().total())
        before = Usage.until_now(site)
        for _ in range(round(seconds)):
            submit()
        busy = Usage.until_now(site).since(before)
        asked.append(layouts.statements().total())
        carriers.close()
        succeeded = Run.objects.filter(state=RunState.SUCCEEDED, attempt=1)
        wait_until(lambda: succeeded.count() == Run.objects.count())
    return Measured(
        layout=layout,
        workers=workers,
        idle=idle,
        busy=busy,
        idle_statements=asked[1] - asked[0],
        busy_statements=asked[2] - asked[1],
    )


def end(site: Site, forks: Forks) -> None:
    """End all processes: forks must have ended before the process from which they come."""
    try:
        layouts.stop(site)
    finally:
        for process in site.processes:
            if process.is_up:
                process.clear_away()
        forks.close()


def submit() -> None:
    Task.run_once(jobs.noop)
    time.sleep(1)


def growth(found: list[Measured]) -> float:
    return report.exponent({each.workers: max(each.of_a_run, 1e-6) for each in found})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle_fleet", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each part (default: 10)")
    parser.add_argument("--workers", type=int, action="append", help="may be repeated")
    parser.add_argument("--alone", action="store_true", help="only with PostgreSQL alone")
    options = parser.parse_args()
    numbers = options.workers or WORKERS
    sites = SITES[1:] if report.QUICK in os.environ or options.alone else SITES
    found: dict[Layout, list[Measured]] = {}
    for layout in sites:
        found[layout] = [measure(layout, number, options.seconds) for number in numbers]
    grown = {layout.name: growth(fleet) for layout, fleet in found.items()}
    are_met = all(not exponent >= BAR for exponent in grown.values())
    report.show(
        "IDLE FLEET: what many idle workers use, and what a run adds",
        f"A heartbeat and idle workers, each a process with threads: {options.seconds:g} s "
        "without a run, and as long with one call\nof Task.run_once a second. CPU seconds a "
        "minute of Sisy and of the servers. Last, the statements a second\nother than BEGIN and "
        "COMMIT. The submitting process is not counted.",
        report.table(
            [
                *("layout", "workers", "idle: Sisy", "servers", "a run a second: Sisy", "servers"),
                *("ms of a run", "statements/s idle", "with runs"),
            ],
            [each.row() for fleet in found.values() for each in fleet],
        ),
        "What a run adds grows with the workers by "
        + ", ".join(f"n^{exponent:.2f} ({name})" for name, exponent in grown.items())
        + f". Bar: less than n^{BAR:g}: {report.verdict(are_met)}",
        module="benchmarks.idle_fleet",
    )
    report.keep(
        "idle_fleet",
        {
            f"{each.layout.name}, {each.workers}": {
                "idle": [sum(each.idle.site.values()) / each.idle.at, each.idle.servers],
                "seconds of a run": each.of_a_run,
                "statements": [each.idle_statements, each.busy_statements],
            }
            for fleet in found.values()
            for each in fleet
        },
    )
    return report.judged(are_met)


if __name__ == "__main__":
    sys.exit(main())
