"""What is broken, and when: a plan drawn from a seed, so that it can be repeated."""

import heapq
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, product

from tests.chaos.drops import AFTER, BEFORE, OF_ROLES, Order

CALM_AT_THE_END = 5.0
TIME_TO_WORK = 8.0  # seconds for which whatever was started is left alone
RARE = 100.0  # seconds from one to the next
LONGEST_SNAPSHOT = 60.0
PART_OF_THE_RUN = 0.4  # for which a snapshot is held at most
STATEMENTS_TO_PASS = 5
AROUND_A_SECOND = (-0.15, 0.02)  # seconds: runs are claimed for their moment, and called at it

ALL, FREEZE, EDIT, NONE = NEMESES = ("all", "freeze", "edit", "none")
"""What is broken: everything, processes that are frozen, or only tasks that are edited."""

Kind = tuple[float, float, Callable[[float], None]]
"""The least and the most seconds from one deed to the next, and the deed."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Step:
    """Something to do to somebody, so many seconds after the start."""

    at: float
    do: str
    to: str
    how: str = ""

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.do} {self.to}{f' ({self.how})' if self.how else ''}"


@dataclass(slots=True)
class Draft:
    """A plan in the making.

    Attributes:
        busy: until when each victim is out of order already.
    """

    random: random.Random
    seconds: float
    lease: float
    steps: list[Step] = field(default_factory=list)
    busy: dict[str, float] = field(default_factory=dict)

    def add(self, at: float, do: str, to: str, how: str = "") -> None:
        self.steps.append(Step(at=round(at, 3), do=do, to=to, how=how))

    def between(self, least: float, most: float) -> float:
        return self.random.uniform(least, most)

    def victim(self, at: float, names: Iterable[str]) -> str | None:
        free = [name for name in names if self.busy.get(name, 0.0) <= at]
        return self.random.choice(free) if free else None

    def take(self, name: str, start: float, end: float) -> bool:
        """Put a victim out of order, unless it is already."""
        if self.busy.get(name, 0.0) > start:
            return False
        self.busy[name] = end
        return True


def plan(
    seed: int,
    seconds: float,
    members: list[str],
    database: str,
    layer: str,
    lease: float,
    nemesis: str = ALL,
) -> list[Step]:
    """Return what is to be done, in order; all but the rarest kind happen within a minute.

    Args:
        nemesis: one of `NEMESES`. That which only edits tasks does nothing here: see `user`.
    """
    draft = Draft(random.Random(seed), seconds, lease)
    match nemesis:
        case "all":
            kinds = _all_kinds(draft, members, database, layer)
        case "freeze":
            kinds = _freezes(draft, members, database)
        case _:
            kinds = []
    coming = [(_first(draft, *kind), number) for number, (*kind, _) in enumerate(kinds)]
    while coming:
        at, number = heapq.heappop(coming)
        least, most, act = kinds[number]
        if at < seconds - CALM_AT_THE_END:
            act(at)
            heapq.heappush(coming, (at + draft.between(least, most), number))
    return sorted(step for step in draft.steps if step.at < seconds)


def _all_kinds(draft: Draft, members: list[str], database: str, layer: str) -> list[Kind]:
    workers, heartbeats = _of_role(members, "worker"), _of_role(members, "heartbeat")
    slower = _slower(database)
    drops = _drops(draft.random)
    kinds: list[Kind] = [
        (60, 90, lambda at: _black_out(draft, at, heartbeats)),
        (130, 200, lambda at: _black_out(draft, at, workers)),
        (18 * slower, 30 * slower, lambda at: _freeze(draft, at, members)),
        (4 * slower, 8 * slower, lambda at: _freeze_around_a_second(draft, at, members)),
        (10 * slower, 16 * slower, lambda at: _tell(draft, at, members)),
        (2.5 * slower, 5 * slower, lambda at: _kill(draft, at, members)),
        (5 * slower, 9 * slower, lambda at: _drop(draft, at, members, *next(drops))),
        (80, 120, lambda at: _hold_snapshot(draft, at)),
    ]
    if database != "sqlite":
        kinds.append((45, 70, lambda at: _restart_database(draft, at, database)))
        kinds.append((20, 35, lambda at: _break_connections(draft, at)))
    if layer != "none":
        kinds.append((25, 40, lambda at: _restart_layer(draft, at)))
        kinds.append((15, 25, lambda at: draft.add(at, "flush", "layer")))
        kinds.append((12, 22, lambda at: draft.add(at, "flood", "layer")))
    return kinds


def _freezes(draft: Draft, members: list[str], database: str) -> list[Kind]:
    workers, heartbeats = _of_role(members, "worker"), _of_role(members, "heartbeat")
    slower = _slower(database)
    return [
        (45, 70, lambda at: _freeze_all(draft, at, heartbeats)),
        (50, 80, lambda at: _freeze_all(draft, at, workers)),
        (5 * slower, 9 * slower, lambda at: _freeze(draft, at, members)),
        (0.3 * slower, 1 * slower, lambda at: _freeze_around_a_second(draft, at, members)),
        (0.5 * slower, 2 * slower, lambda at: _freeze_briefly(draft, at, members)),
    ]


def _of_role(members: list[str], role: str) -> list[str]:
    return [name for name in members if name.startswith(role)]


def _slower(database: str) -> float:
    # On SQLite, a process that is out of order may have the only lock.
    return 2.0 if database == "sqlite" else 1.0


def _first(draft: Draft, least: float, most: float) -> float:
    """Return when to do something for the first time: within a minute, unless it is rare."""
    return 0.8 * least if least > RARE else draft.between(0.2, 0.6) * min(most, draft.seconds)


def _kill(draft: Draft, at: float, members: list[str]) -> None:
    name = draft.victim(at, members)
    if name is not None:
        again = at + draft.between(0.2, 3)
        draft.take(name, at, again + TIME_TO_WORK)
        draft.add(at, "kill", name)
        draft.add(again, "start", name)


def _tell(draft: Draft, at: float, members: list[str]) -> None:
    name = draft.victim(at, members)
    if name is not None:
        again = at + draft.between(1, 5)
        draft.take(name, at, again + TIME_TO_WORK)
        draft.add(at, "tell to end", name, "TERM")
        draft.add(again, "start", name)


def _freeze(draft: Draft, at: float, members: list[str]) -> None:
    """Freeze a process for so long that it may be taken for dead."""
    _freeze_for(draft, at, members, draft.lease * draft.between(0.4, 2.5), rest=2)


def _freeze_briefly(draft: Draft, at: float, members: list[str]) -> None:
    _freeze_for(draft, at, members, draft.between(0.02, 1.5), rest=0.2)


def _freeze_around_a_second(draft: Draft, at: float, members: list[str]) -> None:
    """Freeze a process just before something is due, until just after it."""
    second = math.ceil(at)
    begin = second + draft.between(*AROUND_A_SECOND)
    _freeze_for(draft, begin, members, draft.between(0.02, 0.6), rest=0.2)


def _freeze_for(draft: Draft, at: float, members: list[str], length: float, rest: float) -> None:
    name = draft.victim(at, members)
    if name is not None:
        draft.take(name, at, at + length + rest)
        draft.add(at, "freeze", name, "STOP")
        draft.add(at + length, "thaw", name, "CONT")


def _freeze_all(draft: Draft, at: float, members: list[str]) -> None:
    """Freeze all of a role, and let them go on one after the other."""
    for name in members:
        if draft.take(name, at, at + draft.lease * 2):
            draft.add(at, "freeze", name, "STOP")
            draft.add(at + draft.lease * draft.between(0.3, 1.8), "thaw", name, "CONT")


def _black_out(draft: Draft, at: float, members: list[str]) -> None:
    """Kill all of a role for longer than what counts as punctual."""
    again = at + draft.between(6, 12)
    for name in members:
        if draft.take(name, at, again + 2):
            draft.add(at, "kill", name, "all of its role")
            draft.add(again, "start", name)


def _restart_database(draft: Draft, at: float, database: str) -> None:
    up = at + draft.between(0.2, 1.6 * draft.lease)
    if draft.take("database", at, up + 10):
        soft, hard = ("INT", "QUIT") if database == "postgres" else ("TERM", "KILL")
        draft.add(at, "stop", "database", draft.random.choice([soft, hard]))
        draft.add(up, "start", "database")


def _break_connections(draft: Draft, at: float) -> None:
    """Break one connection after the other, for some seconds."""
    until = at + draft.between(1, 4)
    while at < until:
        draft.add(at, "break", "connection", "any of the database's")
        at += draft.between(0.1, 0.5)


def _restart_layer(draft: Draft, at: float) -> None:
    up = at + draft.between(0.2, 5)
    if draft.take("layer", at, up + 5):
        draft.add(at, "stop", "layer", "KILL")
        draft.add(up, "start", "layer")


def _drops(draw: random.Random) -> Iterator[tuple[str, str, str]]:
    """Yield what to break whose connection at, for ever: each kind as often as any other."""
    roles = [(role, kind) for role, kinds in OF_ROLES.items() for kind in kinds]
    every = [(*of_role, when) for of_role, when in product(roles, (BEFORE, AFTER))]
    draw.shuffle(every)
    return cycle(every)


def _drop(draft: Draft, at: float, members: list[str], role: str, kind: str, when: str) -> None:
    """Let a process break its connection when it comes to a statement.

    It may be out of order, or just have been started: then its successor finds the order.
    """
    name = draft.random.choice([name for name in members if name.startswith(role)])
    number = 1 if kind == "delete" else draft.random.randint(1, STATEMENTS_TO_PASS)
    draft.add(at, "drop", name, str(Order(when, kind, number)))


def _hold_snapshot(draft: Draft, at: float) -> None:
    length = min(LONGEST_SNAPSHOT, PART_OF_THE_RUN * draft.seconds)
    draft.add(at, "hold", "snapshot")
    draft.add(at + length, "release", "snapshot")
