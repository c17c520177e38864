"""Every name and payload on the channel layer.

Messages carry ids and numbers only. Each is a hint: what it speaks of stands in the database.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, TypedDict

from sisy.models import Run

RUN_TASK = "sisy.run_task"
HEARTBEAT = "sisy.heartbeat"
CONTROL = "sisy.control"
WORKERS = "sisy.workers"
"""The group of all workers."""
EVENT = "sisy.event"
EVENTS = "sisy.events"
"""The group of all who show what happens."""


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
    run: int | None
    process: int | None


class Event(TypedDict):
    """Runs changed in one process since it last said so. It numbers what it says."""

    type: str
    kind: str
    source: str
    seq: int
    tasks: list[int]
    more: bool


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
    return {"type": CONTROL, "do": "cancel", "run": run_pk, "process": None}


def drain(process_pk: int) -> Control:
    """Return the message that somebody wants a worker to end once its runs have."""
    return {"type": CONTROL, "do": "drain", "run": None, "process": process_pk}


def runs_changed(source: str, seq: int, tasks: Collection[int], most: int) -> Event:
    """Return the message that runs of ``tasks`` changed, of which it names ``most`` at most."""
    return {
        "type": EVENT,
        "kind": "runs",
        "source": source,
        "seq": seq,
        "tasks": sorted(tasks)[:most],
        "more": len(tasks) > most,
    }


def is_control(message: Any) -> bool:
    """Whether ``message`` says that workers are wanted to do something."""
    return isinstance(message, Mapping) and message.get("type") == CONTROL


def is_run_task(message: Any) -> bool:
    """Whether ``message`` says that a run waits; anything else is not Sisy's."""
    return isinstance(message, Mapping) and message.get("type") == RUN_TASK
