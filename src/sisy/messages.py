"""Every name and payload on the channel layer.

Messages carry ids and numbers only. Each is a hint: what it speaks of stands in the database.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from sisy.models import Run

RUN_TASK = "sisy.run_task"
HEARTBEAT = "sisy.heartbeat"
CONTROL = "sisy.control"
WORKERS = "sisy.workers"
"""The group of all workers."""


class RunTask(TypedDict):
    """A run waits. One message may stand for many; the run names one of them."""

    type: str
    id: int | None
    run: int | None
    ts: float
    attempt: int


class Beat(TypedDict):
    """The heartbeat made a pass, and what it did."""

    type: str
    time: float
    planned: int
    missed: int
    rescued: int
    deleted: int


class Control(TypedDict):
    """Workers are to look what somebody wants of them: the rows say it."""

    type: str
    do: str
    run: int


def run_task(run: Run, attempt: int | None = None) -> RunTask:
    """Return the message for a run: on the wire the ring, in a worker its function's message."""
    return {
        "type": RUN_TASK,
        "id": run.task_id,
        "run": run.pk,
        "ts": run.moment.timestamp(),
        "attempt": run.attempt + 1 if attempt is None else attempt,
    }


def beat(now: datetime, *, planned: int, missed: int, rescued: int, deleted: int) -> Beat:
    """Return the message for one pass of the heartbeat at ``now``."""
    return {
        "type": HEARTBEAT,
        "time": now.timestamp(),
        "planned": planned,
        "missed": missed,
        "rescued": rescued,
        "deleted": deleted,
    }


def cancel(run_pk: int) -> Control:
    """Return the message that somebody wants runs to end, of which it names one."""
    return {"type": CONTROL, "do": "cancel", "run": run_pk}


def is_control(message: Any) -> bool:
    """Whether ``message`` says that workers are wanted to do something."""
    return isinstance(message, Mapping) and message.get("type") == CONTROL


def is_run_task(message: Any) -> bool:
    """Whether ``message`` says that a run waits; anything else is not Sisy's."""
    return isinstance(message, Mapping) and message.get("type") == RUN_TASK
