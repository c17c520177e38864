"""What a run costs PostgreSQL, and whether that grows while a snapshot is held.

Four questions, each answered by PostgreSQL itself, of real processes:

1. How many bytes of the write-ahead log does a run write, from its insertion to its end? The
   difference of two places in the log, after a warm-up. Images of whole pages are left out
   (full_page_writes is off): how many there are depends on the checkpoints.
2. How many updates of the ledger are HOT, so that no index is touched, and how many dead rows does
   a run leave to vacuum? Autovacuum is off for both questions.
3. How many pages does a process read that finds nothing to do: a worker that claims from an empty
   queue because it was rung for, a worker's poll, and a heartbeat's? Each statement that the
   processes send is explained by the server (auto_explain). Its pages are added up for each ring,
   and for each second. Before that, so many runs are carried out, with and without another
   connection that holds an old snapshot, as a report or pg_dump does.
4. How late does a worker start runs at a steady rate of submissions, with and without it?

Tables are found by their prefix, and no index is named, so that layouts can be compared.
"""

import argparse
import statistics
import sys
from dataclasses import dataclass

from benchmarks import report, storage_reads, storage_writes
from benchmarks.readings import LEDGER
from benchmarks.storage_reads import BEAT, BURSTS, CLAIM, POLL, Load, Watched
from benchmarks.storage_writes import BATCHED, Written

BAR_OF_WAL, BAR_OF_HOT = 1400, 0.95  # bytes a run; of the ledger's updates
BARS_OF_PAGES = {CLAIM: 10, POLL: 5, BEAT: 10}
BAR_OF_LATENESS = 2.0  # times the p99 without a snapshot
QUANTILES = {"p50": 0.5, "p99": 0.99, "max": 1.0}
MAX_MEDIAN_LATENESS = 0.5  # seconds; beyond it, runs are submitted faster than they are claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All figures, and whether they meet the bars."""

    written: dict[str, Written]
    free: Watched
    held: Watched

    def lateness(self, fraction: float) -> tuple[float, float]:
        """Return a quantile without and with a snapshot held, in seconds."""
        free, held = self.free.lateness, self.held.lateness
        return report.quantile(free, fraction), report.quantile(held, fraction)

    def is_wal_met(self) -> bool:
        return self.written[BATCHED].bytes_each <= BAR_OF_WAL

    def is_hot_met(self) -> bool:
        return all(each.hot_share >= BAR_OF_HOT for each in self.written.values())

    def are_pages_met(self, what: str) -> bool:
        return statistics.median(self.held.pages[what]) <= BARS_OF_PAGES[what]

    def keeps_up(self) -> bool:
        """Return whether the host is fast enough for the rate, so that lateness is of claims."""
        return self.lateness(0.5)[0] <= MAX_MEDIAN_LATENESS

    def is_lateness_met(self) -> bool:
        free, held = self.lateness(0.99)
        return self.keeps_up() and held <= BAR_OF_LATENESS * free

    def are_met(self) -> bool:
        pages = all(map(self.are_pages_met, BARS_OF_PAGES))
        return pages and self.is_wal_met() and self.is_hot_met() and self.is_lateness_met()

    def kept(self) -> dict[str, object]:
        """Return the figures for programs to read."""
        return {
            "written": {
                way: {
                    "runs": each.runs,
                    "wal": each.bytes_each,
                    "hot": each.hot_share,
                    "kinds": {kind: size / each.runs for kind, size in each.wal.kinds.items()},
                    "rows": {table: rows._asdict() for table, rows in each.rows.items()},
                }
                for way, each in self.written.items()
            },
            "pages": {"free": self.free.pages, "held": self.held.pages},
            "lateness": {name: self.lateness(fraction) for name, fraction in QUANTILES.items()},
        }


def written_table(found: Found) -> str:
    rows = [
        [
            way,
            f"{each.bytes_each:,.0f}",
            f"{each.hot_share:.0%}",
            f"{each.dead_each(LEDGER):.2f}",
            f"{each.dead_each():.2f}",
        ]
        for way, each in found.written.items()
    ]
    head = ["a run by", "WAL bytes", "HOT", "dead in ledger", "dead in all"]
    return report.table(head, rows)


def pages_table(found: Found) -> str:
    def figures(pages: list[int]) -> list[str]:
        return [f"{statistics.median(pages):,g}", f"{max(pages):,}"]

    rows = [
        [
            what,
            *figures(found.free.pages[what]),
            *figures(found.held.pages[what]),
            f"<= {bar}: {report.verdict(found.are_pages_met(what))}",
        ]
        for what, bar in BARS_OF_PAGES.items()
    ]
    head = ["pages read by", "median", "most", "median, held", "most, held", "bar"]
    return report.table(head, rows)


def lateness_table(found: Found) -> str:
    bar = f"<= {BAR_OF_LATENESS:g}: {report.verdict(found.is_lateness_met())}"
    if not found.keeps_up():
        bar = "too many submissions for this machine: choose a lower --rate"
    rows = []
    for name, fraction in QUANTILES.items():
        free, held = found.lateness(fraction)
        figures = *map(report.milliseconds, (free, held)), f"{held / free:.2f}"
        rows.append([name, *figures, bar if name == "p99" else ""])
    return report.table(["ready to start", "ms", "held, ms", "ratio", "bar"], rows)


def main() -> int:
    options = arguments()
    load = Load(
        backlog=options.backlog,
        plan_seconds=options.plan_seconds,
        rate=options.rate,
        seconds=options.seconds,
        idle=options.idle,
    )
    found = Found(
        written=storage_writes.measure_all(options.runs, options.plan_seconds),
        free=storage_reads.watch(load, is_held=False),
        held=storage_reads.watch(load, is_held=True),
    )
    report.show(
        "STORAGE: what a run costs PostgreSQL, and whether that grows while a snapshot is held",
        f"{options.runs} runs of a function that does nothing, from their insertion to their end; "
        "one worker, one heartbeat. HOT: the\nshare of the ledger's updates. Dead: rows that a "
        "run leaves to vacuum, in the ledger and in all tables.",
        written_table(found),
        f"Bars: WAL of {BATCHED} <= {BAR_OF_WAL:,} bytes: {report.verdict(found.is_wal_met())}. "
        f"HOT of all >= {BAR_OF_HOT:.0%}: {report.verdict(found.is_hot_met())}\n"
        + "\n".join(
            f"Bytes of a run by {way}: {each.wal.largest(each.runs)}"
            for way, each in found.written.items()
        ),
        f"Pages that are read where there is nothing to do, after {options.backlog:,} runs and "
        f"{options.backlog:,} plans, without and while\nanother connection holds a snapshot that "
        "it took before them. The bars are for the medians while it is held.",
        pages_table(found),
        f"From the moment when a run is ready to its start, with {options.rate} submissions a "
        f"second for {options.seconds:g} s.",
        lateness_table(found),
        module="benchmarks.storage",
        options=vars(options),
    )
    report.keep("storage", found.kept())
    return report.judged(found.are_met())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.storage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--runs", type=int, default=2000, help="whose writes count (default: 2000)")
    add(
        "--backlog",
        type=int,
        default=20_000,
        help="runs, and as many plans, before pages are counted (default: 20000)",
    )
    add(
        "--plan-seconds",
        type=int,
        default=10,
        help="in each of which an equal share of plans falls due, 2 to 50 (default: 10)",
    )
    add("--rate", type=int, default=800, help=f"submissions a second, {BURSTS} at least (800)")
    add("--seconds", type=float, default=10, help="how long at this rate (default: 10)")
    add("--idle", type=float, default=15, help="seconds in which pages are counted (default: 15)")
    options = parser.parse_args()
    if options.rate < BURSTS:
        parser.error(f"--rate must be at least {BURSTS}")
    if not 2 <= options.plan_seconds <= 50 or options.runs % options.plan_seconds:
        parser.error("--plan-seconds must be 2 to 50, and divide --runs")
    return options


if __name__ == "__main__":
    sys.exit(main())
