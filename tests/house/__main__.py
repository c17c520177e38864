"""``python -m tests.house`` prints each figure of the house beside its aim."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.house.cycles import cycles
from tests.house.guards import GUARDS
from tests.house.source import Module, modules

ROOT = Path(__file__).parents[2] / "src" / "sisy"
MOST_LINES_OF_CORE = 6_500
MOST_LINES_OF_FILE = 300

OUTSIDE_CORE = {
    "admin",
    "checks",
    "contrib",
    "dashboard",
    "django_tasks",
    "engines",
    "management",
    "reports",
    "testing",
    # The same by the names of today.
    "enqueued",
    "pytest_plugin",
    "queries",
    "templatetags",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.house", description="Measure the house."
    )
    parser.add_argument("root", nargs="?", type=Path, default=ROOT, help="default: src/sisy")
    print("\n".join(report(modules(parser.parse_args().root))))
    return 0


def report(source: list[Module]) -> Iterator[str]:
    """Yield the lines that show each figure, its aim, and what is in its way."""
    by_part: Counter[str] = Counter()
    for module in source:
        by_part[module.part] += module.lines_of_code
    core = {part: lines for part, lines in by_part.items() if part not in OUTSIDE_CORE}
    yield _figure(sum(core.values()), "lines of code in core", MOST_LINES_OF_CORE)
    yield from (f"{lines:8,}  {part}" for part, lines in Counter(core).most_common())
    yield f"{sum(by_part.values()):8,}  with all that is outside core"

    long = [module for module in source if module.length > MOST_LINES_OF_FILE]
    yield ""
    yield _figure(len(long), f"files with more than {MOST_LINES_OF_FILE} lines")
    yield from _listed(f"{module.path} ({module.length})" for module in long)

    found = cycles(source)
    yield ""
    yield _figure(len(found), "import cycles")
    yield from _listed(f"{len(one)} modules: {', '.join(one)}" for one in found)

    for guard in GUARDS:
        places = guard.places(source)
        yield ""
        yield _figure(len(places), f"places against: {guard.rule}")
        yield from _listed(places)


def _figure(number: int, what: str, most: int = 0) -> str:
    return f"{number:6,} (aim: {f'at most {most:,}' if most else 0}) {what}"


def _listed(items: Iterable[str]) -> Iterator[str]:
    return (f"          {item}" for item in items)


if __name__ == "__main__":
    sys.exit(main())
