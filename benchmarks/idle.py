"""What a heartbeat and a worker use of the CPU while nothing is due."""

import argparse
import sys
import time
from datetime import timedelta

from django.db import transaction

from benchmarks import jobs, layouts, report
from benchmarks.layouts import Layout, Usage
from sisy import clock
from sisy.models import Run, task_with_callable

BAR = 0.005  # of a core, all processes of Sisy together: 0.3 s a minute
BAR_OF_STATEMENTS = 3.0  # a second


def measure(
    layout: Layout, count: int, seconds: float, warm_up: float
) -> tuple[Usage, float | None]:
    """Return what was used, and how many statements a second PostgreSQL carried out."""
    report.progress(f"{layout.name}: {seconds:g} s, after {warm_up:g} s of warm-up")
    with layouts.opened(layout, counts_statements=layout.is_on_postgres) as site:
        save_hourly_tasks(count, warm_up + seconds)
        layouts.start(site, layout.commands)
        time.sleep(warm_up)
        before = layouts.statements() if layout.is_on_postgres else None
        usage = layouts.measured(site, seconds)
        asked = None if before is None else (layouts.statements() - before) / usage.at
        assert not Run.objects.exists()
        layouts.stop(site)
    return usage, asked


def save_hourly_tasks(count: int, seconds: float) -> None:
    """Save tasks that are due once an hour, but not before the measuring is over."""
    later = clock.now("default") + timedelta(minutes=2, seconds=seconds)
    with transaction.atomic():
        for n in range(count):
            task_with_callable(
                jobs.noop, label=f"hourly {n}", schedule=f"{later.minute} * * * *"
            ).save()


def row(layout: Layout, usage: Usage, asked: float | None) -> list[str]:
    of_core = {name: used / usage.at for name, used in usage.site.items()}
    together = sum(of_core.values())
    return [
        layout.name,
        " + ".join(f"{share:.2%}" for share in of_core.values()),
        f"{sum(usage.site.values()):.2f}",
        f"{together:.2%}",
        "-" if asked is None else f"{asked:.1f}",
        report.verdict(is_met(usage, asked)),
        f"{usage.servers / usage.at:.2%}" if layout.is_on_postgres else "-",
        f"{usage.others:.0%}",
    ]


def is_met(usage: Usage, asked: float | None) -> bool:
    is_idle = sum(usage.site.values()) / usage.at < BAR
    return is_idle and (asked is None or asked <= BAR_OF_STATEMENTS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--tasks", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--warm-up", type=float, default=5, help="seconds (default: 5)")
    options = parser.parse_args()
    if not 0 < options.seconds <= 3000:
        parser.error("--seconds must be above 0, and up to 3000: the tasks are due hourly")
    found = {
        layout: measure(layout, options.tasks, options.seconds, options.warm_up)
        for layout in layouts.measured_ones()
    }
    report.show(
        "IDLE: what Sisy uses of the CPU while nothing is due",
        f"{options.tasks} stored tasks that are due once an hour, none of them within the "
        f"{options.seconds:g} s (after {options.warm_up:g} s of\nwarm-up). Heartbeat + worker, "
        f"and both together, as shares of one core; the bar is under {BAR:.1%}, and\nat most "
        f"{BAR_OF_STATEMENTS:g} statements a second, other than BEGIN and COMMIT. Servers: what "
        "the database\nand the layer use. Others: the share of the machine that something "
        "else took meanwhile.",
        report.table(
            [
                "layout",
                "processes",
                "CPU s",
                "together",
                "statements/s",
                "bar",
                "servers",
                "others",
            ],
            [row(layout, *each) for layout, each in found.items()],
        ),
        module="benchmarks.idle",
        options=vars(options),
    )
    report.keep(
        "idle",
        {
            layout.name: {"cpu": usage.site, "seconds": usage.at, "statements_per_second": asked}
            for layout, (usage, asked) in found.items()
        },
    )
    return report.judged(all(is_met(*each) for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
