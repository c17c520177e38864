"""Functions that benchmarks schedule; they cost next to nothing."""

import os
import struct
import time
from collections import Counter
from functools import cache
from pathlib import Path

NOTEBOOK = "SISY_BENCH_NOTEBOOK"
"""The variable of the environment that names the file in which `note` writes."""


def noop(message):
    pass


async def anoop(message):
    pass


def says(message):
    print("reading the file")
    print("importing row", message["message"]["run"])
    print("done")


def works(message):
    """Compute for two milliseconds."""
    until = time.thread_time() + 0.002
    while time.thread_time() < until:
        pass


def works_and_says(message):
    works(message)
    says(message)


def nap(message):
    time.sleep(0.1)


def note(message):
    """Write down that it was called, and for which run: one short line, appended in one piece."""
    body = message["message"]
    os.write(_notebook(), f"{body['run']} {body['attempt']}\n".encode())


def noted(notebook: Path) -> Counter[tuple[int, int]]:
    """Return how many times `note` was called for which run and attempt."""
    lines = notebook.read_text().split("\n")[:-1] if notebook.exists() else []
    return Counter((int(run), int(attempt)) for run, attempt in map(str.split, lines))


def note_distance(message):
    """Write down how many seconds after its moment it was called: eight bytes, in one piece."""
    called = time.time()
    os.write(_notebook(), struct.pack("d", called - message["message"]["ts"]))


def noted_distances(notebook: Path) -> list[float]:
    """Return the distances that `note_distance` has written down."""
    return [distance for (distance,) in struct.iter_unpack("d", notebook.read_bytes())]


@cache
def _notebook() -> int:
    return os.open(os.environ[NOTEBOOK], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
