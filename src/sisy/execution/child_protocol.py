"""The messages between a worker and its child process.

The child's first word is a text: why it cannot begin, or nothing if it can.
"""

from dataclasses import dataclass
from datetime import datetime

from sisy.execution.outcome import Outcome

CANNOT_TELL = 74  # the exit code of a child that could not tell how its run ended: EX_IOERR


@dataclass(frozen=True, slots=True)
class CarryOut:
    """To the child: carry out a run.

    Attributes:
        number: 1 for the first order to carry out, and one more for each further one.
        run: pickled by itself, so that one that cannot be read is an outcome, too.
        now: what time it is.
    """

    number: int
    run: bytes
    now: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the child: let the run in hand end."""

    run_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """To the child, which has no run in hand: end."""


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: how the run ended, and how many bytes of memory it now takes."""

    outcome: Outcome
    memory: int
