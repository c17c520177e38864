"""How throughput grows with worker processes, of runs that compute and of runs that wait."""

import argparse
import statistics
import sys

from benchmarks import report
from benchmarks.drain import RAW, Case, measure

WORKERS = (1, 2, 4, 8)
FUNCTIONS = {"noop": "does nothing: bound by cores", "nap": "waits for 0.1 s: bound by slots"}
NAPS_EACH = 400  # runs of `nap` for each worker: ten seconds of work
LEAST_GROWTH = 0.9  # the exponent for runs that wait, as long as cores are free


def measured(function: str, workers: int, count: int) -> float:
    case = Case(name=f"{function}, {workers} workers", workers=workers, function=function)
    return measure(case, count)


def written(rate: float, function: str, raw: float) -> str:
    share = f" ({rate / raw:.2f})" if function == "noop" else ""
    return f"{rate:,.0f}{share}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="of noop (default: 10000)")
    parser.add_argument("--naps", type=int, default=NAPS_EACH, help="a worker (default: 400)")
    parser.add_argument("--times", type=int, default=3, help="repetitions (default: 3)")
    parser.add_argument("--workers", type=int, action="append", help="may be repeated")
    options = parser.parse_args()
    numbers = options.workers or WORKERS
    rates: dict[tuple[str, int], list[float]] = {}
    raws: list[float] = []
    for _ in range(options.times):
        raws.append(measure(RAW, options.runs))
        for number in numbers:
            for function in FUNCTIONS:
                count = options.runs if function == "noop" else options.naps * number
                rates.setdefault((function, number), []).append(measured(function, number, count))
    medians = {case: statistics.median(found) for case, found in rates.items()}
    growth = {
        function: report.exponent({number: medians[function, number] for number in numbers})
        for function in FUNCTIONS
    }
    raw = statistics.median(raws)
    is_met = growth["nap"] >= LEAST_GROWTH
    report.show(
        "WORKERS: how many runs a second more processes work off",
        f"{options.runs} runs of a function that does nothing, and {options.naps} for each worker "
        f"of one that waits.\nMedians of {options.times} interleaved repetitions. The database "
        f"shares the cores. In brackets, what is bound by cores as a\nshare of what the raw loop "
        f"of the drain works off ({raw:,.0f}).",
        report.table(
            ["function", *(f"{number} workers" for number in numbers), "growth"],
            [
                [
                    words,
                    *(written(medians[function, number], function, raw) for number in numbers),
                    f"n^{growth[function]:.2f}",
                ]
                for function, words in FUNCTIONS.items()
            ],
        ),
        f"Bar: runs that wait grow by n^{LEAST_GROWTH} at least: {report.verdict(is_met)}",
        module="benchmarks.workers",
    )
    kept = {f"{name}, {number}": found for (name, number), found in rates.items()}
    report.keep("workers", {**kept, "raw": raws})
    return report.judged(is_met)


if __name__ == "__main__":
    sys.exit(main())
