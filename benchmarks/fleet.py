"""Whether a fleet runs each second of many tasks exactly once, and at what cost."""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from tests.processes.fleet import SECOND, every_second

from benchmarks import jobs, layouts, report
from benchmarks.layouts import Layout, Usage
from sisy.models import Run

WARM_UP = 5  # seconds, in which processes import, connect, and start threads
LEFT_OUT_SHOWN = 5

FLEET = Layout(
    name="PostgreSQL and Valkey",
    commands=("sisy_heartbeat",) * 2 + ("sisy_worker",) * 3,
    has_valkey=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the ledger has, compared with what fell due and with what was really called.

    Attributes:
        expected: each due moment of each task, by the task's label.
        calls: how many times the function was called for which run and attempt.
    """

    expected: set[tuple[str, datetime]]
    rows: list[Run]
    calls: Counter[tuple[int, int]]
    occurrences: Counter[tuple[str, datetime | None]] = field(init=False)
    states: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        occurrences = Counter((run.label, run.due_at) for run in self.rows)
        object.__setattr__(self, "occurrences", occurrences)
        object.__setattr__(self, "states", Counter(run.state for run in self.rows))

    def flaws(self) -> dict[str, int]:
        """Return what must be none of each."""
        called = Counter(run for run, _ in self.calls.elements())
        succeeded = {run.pk for run in self.rows if run.state == "succeeded"}
        return {
            "missing in the ledger": len(self.expected - self.occurrences.keys()),
            "in the ledger, not due": len(self.occurrences.keys() - self.expected),
            "twice in the ledger": self.occurrences.total() - len(self.occurrences),
            "skipped or missed": self.states["skipped"] + self.states["missed"],
            "ended otherwise than well": len(self.rows)
            - len(succeeded)
            - self.states["skipped"]
            - self.states["missed"],
            "started more than once": sum(run.attempt > 1 for run in self.rows),
            "function called twice": sum(count > 1 for count in called.values()),
            "succeeded without a call": len(succeeded - called.keys()),
            "called, not on the books": len(called.keys() - succeeded),
        }

    def left_out(self) -> list[str]:
        """Return in words why runs were skipped or missed, and how late what blocked them was."""
        rows = {run.pk: run for run in self.rows}
        lines = []
        for run in self.rows:
            if run.state not in ("skipped", "missed"):
                continue
            line = f"{run.label}, due {run.moment:%H:%M:%S}, {run.state}: {run.reason}"
            if (blocker := rows.get(run.blocked_by_id)) and blocker.lateness and blocker.duration:
                line += f" That started {blocker.lateness} late, and took {blocker.duration}."
            lines.append(line)
        return lines

    def lateness(self, after: int) -> str:
        """Return quantiles in words, of the runs that fell due from so many seconds on."""
        begin = min(due for _, due in self.expected) + after * SECOND
        late = [run.lateness for run in self.rows if run.due_at and run.due_at >= begin]
        seconds = [each.total_seconds() for each in late if each is not None]
        if not seconds:
            return "none has started"
        at = [report.milliseconds(report.quantile(seconds, q)) for q in (0.5, 0.99, 1)]
        return "p50 {}, p99 {}, max {}".format(*at)


def measure(count: int, seconds: int) -> tuple[Audit, Usage]:
    report.progress(f"{count} tasks, each due every second, for {seconds} s")
    with layouts.opened(FLEET) as site:
        notebook = site.folder / "notebook"
        tasks = every_second(count, jobs.note)
        layouts.start(site, FLEET.commands, **{jobs.NOTEBOOK: str(notebook)})
        begin = tasks.run_for(seconds)
        tasks.reaches(0)
        usage = layouts.measured(site, seconds)
        time.sleep(1)
        tasks.wait_for_the_end()
        rows = list(Run.objects.order_by("id"))
        calls = jobs.noted(notebook)
        layouts.stop(site)
    moments = [begin + n * SECOND for n in range(seconds)]
    expected = {(f"task {n}", moment) for n in range(count) for moment in moments}
    return Audit(expected=expected, rows=rows, calls=calls), usage


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--tasks", type=int, default=200, help="how many (default: 200)")
    options = parser.parse_args()
    audit, usage = measure(options.tasks, options.seconds)
    flaws = audit.flaws()
    is_exact = not any(flaws.values())
    report.show(
        "FLEET: whether each second of each task is run exactly once",
        f"{options.tasks} tasks, each due every second, for {options.seconds} s; two heartbeats "
        "and three workers on PostgreSQL and\nValkey. The ledger is compared with what fell due, "
        "and with what the functions wrote down.",
        report.table(
            ["occurrences", "number"],
            [
                ["due", str(len(audit.expected))],
                ["in the ledger", str(len(audit.rows))],
                ["calls of the function", str(audit.calls.total())],
                *([name, str(count)] for name, count in flaws.items()),
            ],
        ),
        f"Bar: each exactly once, none left out: {report.verdict(is_exact)}",
        *audit.left_out()[:LEFT_OUT_SHOWN],
        f"Lateness in ms: {audit.lateness(0)}; after {WARM_UP} s of warm-up: "
        f"{audit.lateness(WARM_UP)}",
        "CPU, as a share of one core: "
        + ", ".join(f"{name} {used / usage.at:.0%}" for name, used in usage.site.items())
        + f"; servers {usage.servers / usage.at:.0%}.\n"
        f"Something else took {usage.others:.0%} of the machine meanwhile.",
        module="benchmarks.fleet",
        options=vars(options),
    )
    report.keep("fleet", {"expected": len(audit.expected), "flaws": flaws, "cpu": usage.site})
    return 0 if is_exact else 1


if __name__ == "__main__":
    sys.exit(main())
