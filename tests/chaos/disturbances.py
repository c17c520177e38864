"""When the fleet could not be punctual: what the nemesis did, and what the machine did."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tests.chaos import moments
from tests.chaos.evidence import Disturbance, Life, Span
from tests.chaos.fleet import TIME_TO_SIGN_ON

AFTER_THE_DATABASE = 8.0
"""Seconds in which all loops find the database again: they try each 5 seconds at the latest."""

AFTER_A_BREAK = 4.0
"""Seconds in which a loop whose connection broke has another one, and has caught up."""

AFTER_A_DROP = 3.0
"""Seconds in which a loop whose connection broke once has caught up. It retries after 0.2 s."""

STALL = 1.0
AFTER_A_STALL = 5.0


class StallWatch:
    """Notices when the machine gives this process, and so probably others, no time."""

    def __init__(self) -> None:
        self.stalls: list[Span] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "StallWatch":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.set()
        self._thread.join()

    def disturbances(self) -> list[Disturbance]:
        return [
            Disturbance(what="stall of the machine", span=(start, end + AFTER_A_STALL))
            for start, end in self.stalls
        ]

    def _watch(self) -> None:
        before = moments.steady()
        while not self._ending.wait(0.1):
            now = moments.steady()
            if now - before > STALL:
                self.stalls.append((moments.at(before), moments.at(now)))
            before = now


def of_the_database(
    outages: Iterable[Span], broken_connections: Iterable[float]
) -> list[Disturbance]:
    down = [
        Disturbance(what="the database was down", span=(start, end + AFTER_THE_DATABASE))
        for start, end in outages
    ]
    broken = [
        Disturbance(what="a connection was broken", span=(at, at + AFTER_A_BREAK))
        for at in broken_connections
    ]
    return down + broken


def of_drops(moments_of_drops: Iterable[float]) -> list[Disturbance]:
    """Return what broke one connection, once: no worker may lose a lease or a run by that."""
    return [
        Disturbance(
            what="a connection was dropped at a statement",
            span=(at, at + AFTER_A_DROP),
            is_brief=True,
        )
        for at in moments_of_drops
    ]


def of_the_fleet(
    lives: Iterable[Life], role: str, end: float, least: int, after: float
) -> list[Disturbance]:
    """Return the times in which fewer than ``least`` processes of a role could work."""
    edges: list[tuple[float, int]] = []
    for life in lives:
        if life.name.startswith(role):
            for start, stop in _working(life, end):
                edges += [(start, 1), (stop, -1)]
    found, count, since = [], 0, 0.0
    for at, change in sorted(edges):
        was_enough = count >= least
        count += change
        if was_enough and count < least:
            since = at
        elif not was_enough and count >= least and since:
            what = f"fewer than {least} {role}s were up"
            found.append(Disturbance(what=what, span=(since, at + after)))
    return found


def of_frozen(lives: Iterable[Life], after: float) -> list[Disturbance]:
    """Return the times in which a process was stopped: on SQLite it may hold the only lock."""
    return [
        Disturbance(what=f"{life.name} was stopped", span=(start, end + after))
        for life in lives
        for start, end in life.frozen
    ]


def _working(life: Life, end: float) -> list[Span]:
    start = life.started + TIME_TO_SIGN_ON
    last = min(filter(None, (life.told, life.died[0] if life.died else None, end)))
    spans = []
    for stop, thaw in sorted(life.frozen):
        spans.append((start, stop))
        start = max(start, thaw)
    spans.append((start, last))
    return [(start, stop) for start, stop in spans if start < stop]


def merged(disturbances: Sequence[Disturbance]) -> list[Disturbance]:
    """Return fewer: those of one kind that follow each other become one."""
    found: list[Disturbance] = []
    for each in sorted(disturbances, key=lambda each: (each.what, each.span)):
        if found and each.span[0] <= found[-1].span[1] and each.what == found[-1].what:
            last = found.pop()
            span = (last.span[0], max(last.span[1], each.span[1]))
            found.append(replace(last, span=span))
        else:
            found.append(each)
    return found


def covered(disturbances: Iterable[Disturbance]) -> float:
    """Return for how many seconds at least one went on."""
    total, until = 0.0, 0.0
    for start, end in sorted(each.span for each in disturbances):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
