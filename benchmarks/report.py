"""How figures are put: tables, quantiles, bars, and what they were measured on."""

import json
import math
import os
import platform
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.servers import valkey

from benchmarks import databases

QUICK = "SISY_BENCH_QUICK"
"""The variable of the environment that says that times are not judged."""

PACKAGES = ("django", "channels", "channels_redis", "croniter", "psycopg")


def quantile(values: Sequence[float], fraction: float) -> float:
    """Return the smallest value that at least ``fraction`` of ``values`` do not exceed."""
    return sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]


def exponent(figures: Mapping[int, float]) -> float:
    """Return the k of the power law ``n ** k`` that fits ``figures``, which are given by n, best.

    It is 0 where they do not grow, 1 where they grow in proportion, and no number of one figure.
    """
    if len(figures) < 2:
        return math.nan
    sizes, found = zip(*figures.items(), strict=True)
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(each) for each in found]
    ).slope


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}"


def verdict(is_met: bool) -> str:
    return "met" if is_met else "NOT MET"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned lines; columns that hold numbers are aligned at the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(cell[:1].isdigit() or cell == "-" for cell in column[1:]) for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if is_numeric else cell.ljust(width)
            for cell, width, is_numeric in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [head, *rows]
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRaw:
    """Rates, and their ratios to the raw loops that ran beside them.

    The speed of a host varies: only figures of the same repetition are compared.

    Attributes:
        raw_of: for each figure, in the order of the report, the raw loop that does as much.
        repetitions: the rates of each repetition.
        bars: the least that the median of a ratio may be.
    """

    raw_of: Mapping[str, str]
    repetitions: Sequence[Mapping[str, float]]
    bars: Mapping[str, float]

    @property
    def are_met(self) -> bool:
        return all(map(self.is_met, self.bars))

    def is_met(self, name: str) -> bool:
        return statistics.median(self.ratios(name)) >= self.bars[name]

    def rates(self, name: str) -> list[float]:
        return [each[name] for each in self.repetitions]

    def ratios(self, name: str) -> list[float]:
        return [each[name] / each[self.raw_of[name]] for each in self.repetitions]

    def table(self) -> str:
        return table(
            ["what", "of raw", "from, to", "bar", "runs/s here"], list(map(self._row, self.raw_of))
        )

    def kept(self) -> dict[str, dict[str, list[float]]]:
        """Return the figures for programs to read."""
        return {
            "rates": {name: self.rates(name) for name in self.raw_of},
            "of raw": {name: self.ratios(name) for name in self.raw_of},
        }

    def _row(self, name: str) -> list[str]:
        ratios = self.ratios(name)
        bar = f">= {self.bars[name]:g}: {verdict(self.is_met(name))}" if name in self.bars else ""
        return [
            name,
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            bar,
            f"{statistics.median(self.rates(name)):,.0f}",
        ]


def judged(are_met: bool) -> int:
    """Return the exit code: 1 if a bar was missed, unless this is only a quick look."""
    return 0 if are_met or QUICK in os.environ else 1


def keep(module: str, figures: object, database: str = databases.POSTGRES) -> None:
    """Write figures to a file in ``.bench``, for programs to read."""
    folder = Path(".bench")
    folder.mkdir(exist_ok=True)
    name = module if database == databases.POSTGRES else f"{module}-{database}"
    file = folder / f"{name}.json"
    kept = {"machine": machine(database), "figures": figures}
    file.write_text(json.dumps(kept, indent=2) + "\n")
    progress(f"figures in {file}")


def show(
    title: str,
    *parts: str,
    module: str,
    options: dict[str, object] | None = None,
    database: str = databases.POSTGRES,
) -> None:
    """Print a report: what was measured, the figures, the machine, and how to measure again."""
    again = "".join(
        f" --{name.replace('_', '-')} {value}" for name, value in (options or {}).items()
    )
    repeat = f"Again:    python -m {module}{again}"
    print("\n\n".join([title, *parts, f"{machine(database)}\n{repeat}"]), flush=True)


def machine(database: str) -> str:
    """Return what the figures were measured on."""
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"Machine:  {os.cpu_count()} cores ({_processor()}), {platform.system()}, "
        f"Python {platform.python_version()}\n"
        f"Servers:  {databases.described(database)}, "
        f"Valkey {databases.version_of(valkey.binary())}\n"
        f"Packages: {packages}"
    )


def progress(text: str) -> None:
    """Tell whoever waits what is being measured, where it does not mix with the figures."""
    print(f"… {text}", file=sys.stderr, flush=True)


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", facts.read_text()) if facts.exists() else []
    return names[0] if names else platform.machine()
