"""The functions of the fleet's tasks: each writes down that it is called, and how that ends.

Each reads the steady clock first of all, so that nothing delays what it says of its call.

What an execution does is settled by its task's user data and by a hash of its occurrence, so that
nothing needs to be drawn at random here.
"""

import asyncio
import itertools
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sisy import current_run
from tests.chaos import execution_log, moments

STEP = 0.05

_calls = itertools.count()


class DeliberateFailure(Exception):
    """A task function was to fail."""


def work(message: dict[str, Any]) -> None:
    called = moments.steady()
    with _written_down(message, called) as seconds:
        time.sleep(seconds)


def watchful_work(message: dict[str, Any]) -> None:
    """Ask now and then whether the run is to end."""
    called = moments.steady()
    with _written_down(message, called) as seconds:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(STEP, left))
            current_run().check()


async def async_work(message: dict[str, Any]) -> None:
    called = moments.steady()
    with _written_down(message, called) as seconds:
        await asyncio.sleep(seconds)


@contextmanager
def _written_down(message: dict[str, Any], called: float) -> Iterator[float]:
    """Write the start and the end; yield for how long to work."""
    call, run, data = next(_calls), current_run(), message["task"].userdata
    due = run.due_at.timestamp() if run.due_at else None
    facts = {"key": data["key"], "run": run.id, "due": due, "attempt": run.attempt}
    execution_log.write("start", called, call=call, **facts)
    outcome = "raised"
    try:
        yield data["long"] if chance(data["key"], due, "long") < data["is_long"] else data["short"]
        if chance(data["key"], due, run.attempt) < data["fails"]:
            raise DeliberateFailure("It was to be expected.")
        outcome = "ok"
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        execution_log.write("end", moments.steady(), call=call, outcome=outcome)


def chance(*facts: object) -> float:
    """Return a number from 0 to 1 that is always the same for the same facts."""
    return zlib.crc32(repr(facts).encode()) / 2**32
