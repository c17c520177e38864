"""How the user behaves, and how many of them there are: it depends on what is to be broken."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from tests.chaos.nemesis import ALL, EDIT

FOUND_AFTER = 75.0
"""Seconds until a change by raw SQL is found, if the heartbeats live: it is promised in 60."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How one user behaves.

    Attributes:
        number: of users, each of whom has tasks of their own.
        pause: seconds from one act to the next, on average.
        weights: how often the user does what.
        aimed: the part of the edits that is made just before the task is due.
        found_after: seconds until Sisy finds a change by raw SQL at the latest.
    """

    number: int
    pause: float
    weights: Mapping[str, float]
    aimed: float
    found_after: float


EVERYTHING = {
    "run now": 4,
    "run once": 4,
    "edit": 3,
    "update": 2,
    "change by raw SQL": 0.3,
    "reshape": 2,
    "pause": 2,
    "cancel": 2,
    "delete": 0.5,
}
EDITS = EVERYTHING | {"run now": 0.5, "run once": 0.5, "cancel": 0.5, "delete": 0.2}
PAUSE = {"postgres": 0.4, "mariadb": 0.5, "sqlite": 1.5}


def habits(nemesis: str, database: str) -> Habits:
    """Return how the users behave beside a nemesis; that which only edits is they."""
    # A heartbeat checks the tasks one after the other, and begins anew each time it is started.
    found_after = inf if nemesis == ALL else FOUND_AFTER
    if nemesis == EDIT:
        number = 2 if database == "sqlite" else 4
        pause = PAUSE[database] / 4
        return Habits(
            number=number, pause=pause, weights=EDITS, aimed=0.9, found_after=found_after
        )
    return Habits(
        number=1, pause=PAUSE[database], weights=EVERYTHING, aimed=0.5, found_after=found_after
    )
