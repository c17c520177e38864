"""What was really executed: a log that the functions write themselves, outside the database.

Each process has a file of its own, opened to append, and writes each line by one ``write``: what
it wrote before it was killed stands there whole.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from tests.chaos import moments
from tests.chaos.evidence import Execution, Span

FOLDER = "SISY_CHAOS_LOG"
"""The variable of the environment that names the folder."""

MEMBER = "SISY_CHAOS_MEMBER"
"""The one that numbers the fleet's processes; those that they start inherit it."""


def write(what: str, steady: float, **facts: object) -> None:
    """Append a line: the facts, by whom, and when by the steady clock."""
    line = {
        "what": what,
        **facts,
        "pid": os.getpid(),
        "member": int(os.environ[MEMBER]),
        "steady": steady,
    }
    with _opening:  # two threads would else open two files
        file = _file(os.getpid())
    os.write(file, json.dumps(line).encode() + b"\n")


_opening = threading.Lock()


@cache
def _file(pid: int) -> int:
    """Open the file of this process; a name is never used twice, although a pid may be."""
    path = Path(os.environ[FOLDER]) / f"{pid}-{time.monotonic_ns()}.jsonl"
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)


def read(folder: Path, bounds: Callable[[float], Span]) -> list[Execution]:
    """Return all executions in the order of their starts; those without an end have none.

    Args:
        bounds: returns between which moments the database's clock was at one of the steady clock.
    """
    return sorted(
        (execution for file in folder.glob("*.jsonl") for execution in _read_file(file, bounds)),
        key=lambda execution: execution.start,
    )


def _read_file(file: Path, bounds: Callable[[float], Span]) -> Iterator[Execution]:
    begun: dict[int, dict] = {}
    for text in file.read_text().splitlines():
        line = json.loads(text)
        if line["what"] == "start":
            begun[line["call"]] = line
        else:
            yield _execution(begun.pop(line["call"]), line, bounds)
    for line in begun.values():
        yield _execution(line, None, bounds)


def _execution(start: dict, end: dict | None, bounds: Callable[[float], Span]) -> Execution:
    return Execution(
        key=start["key"],
        run=start["run"],
        due=start["due"],
        attempt=start["attempt"],
        member=start["member"],
        start=moments.at(start["steady"]),
        called=bounds(start["steady"]),
        end=moments.at(end["steady"]) if end else None,
        outcome=end["outcome"] if end else None,
    )
