"""The messages between a worker and its child process.

The child's first message is a text that says why it cannot start; empty if it can.
"""

from dataclasses import dataclass
from datetime import datetime

from sisy.execution.outcome import Outcome

CANNOT_TELL = 74  # the exit code of a child that could not report an outcome: EX_IOERR


@dataclass(frozen=True, slots=True)
class CarryOut:
    """To the child: execute a run.

    Attributes:
        number: counts the orders to this child, from 1.
        run: the pickled run.
        now: the current time.
    """

    number: int
    # Pickled separately, so that a run that cannot be unpickled fails like any other.
    run: bytes
    now: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the child: cancel the current run."""

    run_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """To an idle child: exit."""


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: the outcome of the run, and the child's memory in bytes."""

    outcome: Outcome
    memory: int
