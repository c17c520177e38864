"""What the user did and when, and from that the times in which each task has which schedule."""

import threading
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.evidence import Active, Span

JUST_BEFORE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that begins or ends the planning of a task, at a moment within ``when``.

    Attributes:
        schedule: from then on; None if it is not planned any more.
    """

    key: str
    when: Span
    schedule: str | None


class Journal:
    """Changes of tasks, from any thread."""

    def __init__(self) -> None:
        self._changes: dict[str, list[Change]] = defaultdict(list)
        self._lock = threading.Lock()

    def write(self, change: Change) -> None:
        with self._lock:
            self._changes[change.key].append(change)

    def of(self, key: str) -> list[Change]:
        return sorted(self._changes[key], key=lambda change: change.when)


def active(changes: list[Change], timezone: str, start: float) -> tuple[Active, ...]:
    """Return the stretches from ``start`` on in which a task has a schedule.

    The last change ends the last one.
    """
    found = []
    first = start - JUST_BEFORE
    for begin, end in pairwise(changes):
        if begin.schedule is None or end.when[1] < start:
            continue
        found.append(
            Active(
                schedule=begin.schedule,
                timezone=timezone,
                may=(max(first, begin.when[0]), end.when[1]),
                must=(max(first, begin.when[1]), end.when[0]),
            )
        )
    return tuple(found)
