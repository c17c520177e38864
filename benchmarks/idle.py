"""What a heartbeat and a worker use of the CPU, and ask PostgreSQL, while nothing is due."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context

from django.db import transaction

from benchmarks import jobs, layouts, report
from benchmarks.layouts import Layout, Usage
from sisy import clock
from sisy.models import Run, task_with_callable

MINUTE = 60.0
BAR_IF_RUNG = 0.12  # CPU seconds a minute, all processes of Sisy together
BAR = 0.3  # the same, if they reach each other only by polling
BAR_OF_STATEMENTS = 1.5  # a second
WIDTH = 100  # characters of a statement that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one layout used.

    Attributes:
        statements: how often PostgreSQL carried out each, by command and text; None on SQLite.
    """

    layout: Layout
    usage: Usage
    statements: Counter[tuple[str, str]] | None

    @property
    def cpu_per_minute(self) -> float:
        return sum(self.usage.site.values()) / self.usage.at * MINUTE

    @property
    def statements_per_second(self) -> float | None:
        return None if self.statements is None else self.statements.total() / self.usage.at

    @property
    def is_met(self) -> bool:
        asked = self.statements_per_second
        bar = BAR if asked is None else BAR_IF_RUNG
        return self.cpu_per_minute <= bar and (asked is None or asked <= BAR_OF_STATEMENTS)

    def row(self) -> list[str]:
        asked, at = self.statements_per_second, self.usage.at
        parts = [used / at * MINUTE for used in self.usage.site.values()]
        return [
            self.layout.name,
            " + ".join(f"{part:.3f}" for part in parts),
            f"{self.cpu_per_minute:.3f}",
            "-" if asked is None else f"{asked:.2f}",
            report.verdict(self.is_met),
            f"{self.usage.servers / at * MINUTE:.3f}" if self.layout.is_on_postgres else "-",
            f"{self.usage.others:.0%}",
        ]

    def asked(self) -> str:
        """Return a table of who asked what, and how often, the most frequent first."""
        rows = [
            [who, f"{calls / self.usage.at:.2f}", query[:WIDTH]]
            for (who, query), calls in (self.statements or Counter()).most_common()
        ]
        return f"{self.layout.name}: statements a second\n\n" + report.table(
            ["who", "/s", "statement"], rows
        )


def measure(layout: Layout, count: int, seconds: float, warm_up: float) -> Measured:
    report.progress(f"{layout.name}: {seconds:g} s, after {warm_up:g} s of warm-up")
    with layouts.opened(layout, counts_statements=layout.is_on_postgres) as site:
        save_hourly_tasks(count, warm_up + seconds)
        if layout.is_on_postgres:
            layouts.start_named(site, layout.commands)
        else:
            layouts.start(site, layout.commands)
        time.sleep(warm_up)
        before = layouts.statements() if layout.is_on_postgres else None
        usage = layouts.measured(site, seconds)
        asked = None if before is None else layouts.statements() - before
        assert not Run.objects.exists()
        layouts.stop(site)
    return Measured(layout=layout, usage=usage, statements=asked)


def save_hourly_tasks(count: int, seconds: float) -> None:
    """Save tasks that are due once an hour, but not before the measuring is over."""
    later = clock.now("default") + timedelta(minutes=2, seconds=seconds)
    with transaction.atomic():
        for n in range(count):
            task_with_callable(
                jobs.noop, label=f"hourly {n}", schedule=f"{later.minute} * * * *"
            ).save()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--tasks", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--warm-up", type=float, default=5, help="seconds (default: 5)")
    options = parser.parse_args()
    if not 0 < options.seconds <= 3000:
        parser.error("--seconds must be above 0, and up to 3000: the tasks are due hourly")
    # Side by side, since they are idle and only CPU times and numbers are read.
    chosen = layouts.measured_ones()
    with ProcessPoolExecutor(len(chosen), mp_context=get_context("spawn")) as pool:
        measuring = [
            pool.submit(measure, layout, options.tasks, options.seconds, options.warm_up)
            for layout in chosen
        ]
        found = [one.result() for one in measuring]
    report.show(
        "IDLE: what Sisy uses while nothing is due",
        f"{options.tasks} stored tasks that are due once an hour, none of them within the "
        f"{options.seconds:g} s (after {options.warm_up:g} s of\nwarm-up). CPU seconds a minute, "
        f"heartbeat + worker, and both together. The bars are {BAR_IF_RUNG:g} s, and\n"
        f"{BAR_OF_STATEMENTS:g} statements a second other than BEGIN and COMMIT; {BAR:g} s "
        "without a way to ring. Servers: the\ndatabase and the layer. Others: the share of the "
        "machine that something else took meanwhile. All\nlayouts are measured at the same time.",
        report.table(
            ["layout", "processes", "together", "statements/s", "bar", "servers", "others"],
            [each.row() for each in found],
        ),
        *(each.asked() for each in found if each.statements is not None),
        module="benchmarks.idle",
        options=vars(options),
    )
    report.keep(
        "idle",
        {
            each.layout.name: {
                "cpu": each.usage.site,
                "seconds": each.usage.at,
                "statements_per_second": each.statements_per_second,
            }
            for each in found
        },
    )
    return report.judged(all(each.is_met for each in found))


if __name__ == "__main__":
    sys.exit(main())
