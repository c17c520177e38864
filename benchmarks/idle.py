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

WARM_UP = 5  # seconds
BAR = 0.01  # of a core, all processes of Sisy together


def measure(layout: Layout, count: int, seconds: float) -> Usage:
    report.progress(f"{layout.name}: {seconds:g} s, after {WARM_UP} s of warm-up")
    with layouts.opened(layout) as site:
        save_hourly_tasks(count, seconds)
        layouts.start(site, layout.commands)
        time.sleep(WARM_UP)
        usage = layouts.measured(site, seconds)
        assert not Run.objects.exists()
        layouts.stop(site)
    return usage


def save_hourly_tasks(count: int, seconds: float) -> None:
    """Save tasks that are due once an hour, but not before the measuring is over."""
    later = clock.now("default") + timedelta(minutes=2, seconds=seconds)
    with transaction.atomic():
        for n in range(count):
            task_with_callable(
                jobs.noop, label=f"hourly {n}", schedule=f"{later.minute} * * * *"
            ).save()


def row(layout: Layout, usage: Usage) -> list[str]:
    of_core = {name: used / usage.at for name, used in usage.site.items()}
    together = sum(of_core.values())
    return [
        layout.name,
        " + ".join(f"{share:.2%}" for share in of_core.values()),
        f"{sum(usage.site.values()):.2f}",
        f"{together:.2%}",
        report.verdict(together < BAR),
        f"{usage.servers / usage.at:.2%}" if layout.is_on_postgres else "-",
        f"{usage.others:.0%}",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--tasks", type=int, default=1000, help="how many (default: 1000)")
    options = parser.parse_args()
    if not 0 < options.seconds <= 3000:
        parser.error("--seconds must be above 0, and up to 3000: the tasks are due hourly")
    found = {layout: measure(layout, options.tasks, options.seconds) for layout in layouts.ALL}
    report.show(
        "IDLE: what Sisy uses of the CPU while nothing is due",
        f"{options.tasks} stored tasks that are due once an hour, none of them within the "
        f"{options.seconds:g} s (after {WARM_UP} s of\nwarm-up). Heartbeat + worker, and both "
        f"together, as shares of one core; the bar is under {BAR:.0%}.\nServers: what the "
        "database and the layer use. Others: the share of the machine that something\n"
        "else took meanwhile.",
        report.table(
            ["layout", "processes", "CPU s", "together", "bar", "servers", "others"],
            [row(layout, usage) for layout, usage in found.items()],
        ),
        module="benchmarks.idle",
        options=vars(options),
    )
    return report.judged(all(sum(u.site.values()) / u.at < BAR for u in found.values()))


if __name__ == "__main__":
    sys.exit(main())
