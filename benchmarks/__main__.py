"""Runs the benchmarks, one after the other."""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks import databases, report

QUICK_OPTIONS = {
    "schedules": ["--repeats", "5"],
    "lateness": ["--seconds", "2", "--warm-up", "1"],
    "earliness": ["--seconds", "2", "--tasks", "10", "--timers", "2000"],
    "idle": ["--seconds", "2", "--warm-up", "1", "--tasks", "100"],
    "idle_fleet": ["--seconds", "2", "--workers", "2"],
    "fleet": ["--seconds", "5", "--tasks", "40"],
    "latency": ["--runs", "20"],
    "submit": ["--runs", "100", "--times", "1"],
    "drain": ["--runs", "1000", "--times", "1"],
    "output": ["--runs", "300", "--times", "1"],
    "workers": ["--runs", "500", "--naps", "8", "--times", "1", "--workers", "2"],
    "memory": ["--runs", "2000"],
    "many": ["--tasks", "1000", "--idle", "3"],
    "replanning": ["--tasks", "2000", "--times", "1"],
    "mixed": ["--single", "60", "--batched", "240", "--times", "1"],
    "ledger": ["--runs", "8000"],
    "alerts": ["--tasks", "3000", "--runs", "8000"],
    "storage": [
        *("--runs", "200", "--backlog", "200", "--plan-seconds", "2"),
        *("--rate", "200", "--seconds", "1", "--idle", "2"),
    ],
    "viewers": ["--seconds", "2"],
    "virtual": ["--days", "20"],
    "metrics": ["--tasks", "2000", "--runs", "8000"],
    "dashboard": ["--tasks", "2000", "--runs", "8000", "--times", "1"],
}
"""Each benchmark, in the order in which they run, and how to take a quick look."""

MAX_TOGETHER = 6
"""Quick looks side by side."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="see that all of them work and count right; times are not judged",
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.quick:
            os.environ[report.QUICK] = "1"
            os.environ[databases.TEMPLATE] = str(databases.template(stack))
        # Where times are not judged, some may disturb each other: most of the time they wait.
        pool = stack.enter_context(ThreadPoolExecutor(MAX_TOGETHER if options.quick else 1))
        ends = list(pool.map(lambda name: _has_failed(name, options.quick), QUICK_OPTIONS))
    failed = [name for name, has_failed in zip(QUICK_OPTIONS, ends, strict=True) if has_failed]
    if failed:
        print(f"Not as they should be: {', '.join(failed)}")
    return 1 if failed else 0


def _has_failed(name: str, is_quick: bool) -> bool:
    command = [sys.executable, "-m", f"benchmarks.{name}", *(QUICK_OPTIONS[name] * is_quick)]
    if not is_quick:
        return subprocess.run(command, check=False).returncode != 0
    ended = subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    print(ended.stdout, flush=True)  # all of it at once, since another one runs meanwhile
    return ended.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
