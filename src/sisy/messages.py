"""Every name and payload on the channel layer.

Messages carry ids and numbers only. Each is a hint: what it speaks of stands in the database.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from sisy.models import Run


RUN_TASK = "sisy.run_task"
HEARTBEAT = "sisy.heartbeat"
CONTROL = "sisy.control"
WORKERS = "sisy.workers"
"""The group of all workers."""
EVENT = "sisy.event"
EVENTS = "sisy.events"
"""The group of all who show what happens."""
LATEST = 253_402_300_800
"""The year 10000, in seconds since 1970: pages can show no later moment."""


class RunTask(TypedDict):
    """A run is queued. One message may stand for many; the run names one of them."""

    type: str
    """``"sisy.run_task"``"""

    id: int | None
    """The primary key of the task; None if that is deleted."""

    run: int | None
    """The primary key of the run."""

    ts: float
    """The due moment, in seconds since 1970.

    Of a retry or a backfill, the one for which it stands; of a run that no schedule named, when
    it was ready.
    """

    attempt: int
    """Which attempt is to be made, from 1."""


class Beat(TypedDict):
    """The heartbeat made a pass, and what it did."""

    type: str
    """``"sisy.heartbeat"``"""

    time: float
    """When the pass was made, in seconds since 1970."""

    planned: int
    """How many runs this pass queued."""

    missed: int
    """How many occurrences were recorded as missed."""

    rescued: int
    """How many runs were taken from dead workers, to be run again."""

    deleted: int
    """How many tasks reached the end of their life."""


class Control(TypedDict):
    """Workers are to look what somebody wants of them: the rows say it."""

    type: str
    """``"sisy.control"``"""

    do: str
    """``"cancel"``, or ``"drain"`` for a worker that is to end once its runs have."""

    run: int | None
    """The primary key of a run to cancel, of which there may be others; else None."""

    process: int | None
    """The primary key of the process to drain; else None."""


class Event(TypedDict):
    """Runs changed in one process since it last said so. It numbers what it says."""

    type: str
    """``"sisy.event"``"""

    kind: str
    """``"runs"``"""

    source: str
    """Which process says so, by a name that it has as long as it lives."""

    seq: int
    """Counts what that process says, from 0; a gap means that something was not heard."""

    tasks: list[int]
    """The primary keys of up to 100 tasks whose runs changed."""

    more: bool
    """Whether there were more."""


def run_task(run: "Run", attempt: int | None = None) -> RunTask:
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
    """Return whether ``message`` says that workers are wanted to do something."""
    return isinstance(message, Mapping) and message.get("type") == CONTROL


def is_event(message: Any) -> bool:
    """Return whether ``message`` says, in a form that can be read, that runs changed."""
    return (
        isinstance(message, Mapping)
        and message.get("type") == EVENT
        and isinstance(message.get("source"), str)
        and isinstance(message.get("seq"), int)
    )


def is_beat(message: Any) -> bool:
    """Whether ``message`` says, in a form that can be read, that the heartbeat made a pass."""
    if not isinstance(message, Mapping) or message.get("type") != HEARTBEAT:
        return False
    time = message.get("time")
    return isinstance(time, int | float) and 0 <= time < LATEST  # which NaN is not, either


def is_run_task(message: Any) -> bool:
    """Return whether ``message`` says that a run is queued; anything else is not Sisy's."""
    return isinstance(message, Mapping) and message.get("type") == RUN_TASK
