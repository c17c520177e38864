"""All names and payloads on the channel layer, and of PostgreSQL's NOTIFY where there is none.

Messages contain only keys and numbers. Each is a hint that may be lost; the database is the truth.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from sisy.records.run import RunRecord


RUN_TASK = "sisy.run_task"
HEARTBEAT = "sisy.heartbeat"
CONTROL = "sisy.control"
WORKERS = "sisy.workers"
"""The group of all workers."""

LOOK = "sisy.look"
HEARTBEATS = "sisy.heartbeats"
"""The group of all heartbeats."""

EVENT = "sisy.event"
EVENTS = "sisy.events"
"""The group of all dashboards."""

MEANWHILE = "workers find queued runs by polling"
"""The consequence of an outage, for its log."""

Receive = Callable[[Any], object]
"""Called with each message of a channel or group, in any thread. Must be quick."""

RUNS, OUTPUT = "runs", "output"
"""The kinds of events: runs changed, or only their output and progress did."""

MAX_NOTIFY_NAME = 63
"""The longest name of a channel of PostgreSQL, in bytes."""

MAX_NOTIFY_PAYLOAD = 7999
"""The longest payload of a NOTIFY, in bytes."""

MAX_TIMESTAMP = 253_402_300_800
"""The year 10000, in seconds since 1970. Pages cannot show later moments."""


class RunTask(TypedDict):
    """A run is queued. One message may announce many runs, and names one of them."""

    type: str
    """``"sisy.run_task"``"""

    id: int | None
    """The primary key of the task, even if it was deleted."""

    run: int | None
    """The primary key of the run."""

    ts: float
    """The due moment, in seconds since 1970.

    For a retry or a backfill, the due moment of its occurrence. For a run without a schedule, the
    moment when it was ready.
    """

    attempt: int
    """The number of the attempt that the message is about, from 1."""


class Beat(TypedDict):
    """The heartbeat made a pass."""

    type: str
    """``"sisy.heartbeat"``"""

    time: float
    """The time of the pass, in seconds since 1970."""

    planned: int
    """The number of occurrences that were queued."""

    missed: int
    """The number of occurrences that were recorded as missed."""

    rescued: int
    """The number of runs of dead workers that were queued again."""

    deleted: int
    """The number of retired tasks that were deleted."""


class Control(TypedDict):
    """There is a request for workers. Each worker checks its rows."""

    type: str
    """``"sisy.control"``"""

    do: str
    """``"cancel"`` to stop runs, or ``"drain"`` to stop a worker once its runs have finished."""

    run: int | None
    """The primary key of one of the runs to cancel; None to drain."""

    process: int | None
    """The primary key of the process to drain; None to cancel."""


class Look(TypedDict):
    """There may be work for heartbeats. Each makes a pass at once."""

    type: str
    """``"sisy.look"``"""


class Event(TypedDict):
    """Runs changed, printed something or reported progress since the last event of the process."""

    type: str
    """``"sisy.event"``"""

    kind: str
    """``"runs"``, or ``"output"`` if no run changed in any other way."""

    source: str
    """The name of the process that sends the event. It does not change while the process runs."""

    seq: int
    """The number of the event in its process, from 0. A gap means that an event was lost."""

    tasks: list[int]
    """The primary keys of up to 100 of the tasks."""

    more: bool
    """True if there are more tasks."""


def run_task(run: "RunRecord", attempt: int | None = None) -> RunTask:
    """Return the message for a run: the ring for workers, and the message for its function.

    Args:
        attempt: the number of the attempt; by default, the next one.
    """
    return {
        "type": RUN_TASK,
        "id": run.task_id,
        "run": run.id,
        "ts": run.moment.timestamp(),
        "attempt": run.attempt + 1 if attempt is None else attempt,
    }


def beat(now: datetime, *, planned: int, missed: int, rescued: int, deleted: int) -> Beat:
    """Return the message for a pass of the heartbeat at ``now``."""
    return {
        "type": HEARTBEAT,
        "time": now.timestamp(),
        "planned": planned,
        "missed": missed,
        "rescued": rescued,
        "deleted": deleted,
    }


def cancel(run_pk: int) -> Control:
    """Return the message for a cancel request. It names one of the runs."""
    return {"type": CONTROL, "do": "cancel", "run": run_pk, "process": None}


def drain(process_pk: int) -> Control:
    """Return the message for a drain request."""
    return {"type": CONTROL, "do": "drain", "run": None, "process": process_pk}


def look() -> Look:
    """Return the message that makes heartbeats look at once."""
    return {"type": LOOK}


def runs_changed(
    source: str, seq: int, tasks: Collection[int], most: int, kind: str = RUNS
) -> Event:
    """Return the message that runs of ``tasks`` changed. It names up to ``most`` tasks."""
    return {
        "type": EVENT,
        "kind": kind,
        "source": source,
        "seq": seq,
        "tasks": sorted(tasks)[:most],
        "more": len(tasks) > most,
    }


def is_control(message: Any) -> bool:
    """Return whether ``message`` is a request for workers."""
    return isinstance(message, Mapping) and message.get("type") == CONTROL


def is_look(message: Any) -> bool:
    """Return whether ``message`` makes heartbeats look at once."""
    return isinstance(message, Mapping) and message.get("type") == LOOK


def is_event(message: Any) -> bool:
    """Return whether ``message`` is a valid event."""
    return (
        isinstance(message, Mapping)
        and message.get("type") == EVENT
        and isinstance(message.get("source"), str)
        and isinstance(message.get("seq"), int)
    )


def is_beat(message: Any) -> bool:
    """Return whether ``message`` is a valid message of a heartbeat."""
    if not isinstance(message, Mapping) or message.get("type") != HEARTBEAT:
        return False
    time = message.get("time")
    # The comparison also rejects NaN.
    return isinstance(time, int | float) and 0 <= time < MAX_TIMESTAMP


def is_run_task(message: Any) -> bool:
    """Return whether ``message`` is a ring."""
    return isinstance(message, Mapping) and message.get("type") == RUN_TASK


def notify_name(address: str) -> str:
    """Return PostgreSQL's name for a channel or group of the layer. All of them are ASCII."""
    if len(address) <= MAX_NOTIFY_NAME:
        return address
    digest = hashlib.blake2b(address.encode(), digest_size=8).hexdigest()
    return f"{address[: MAX_NOTIFY_NAME - 1 - len(digest)]}.{digest}"


def to_payload(message: Mapping[str, Any]) -> str:
    """Return a message as the payload of a NOTIFY.

    Raises:
        TypeError, ValueError: it cannot be written as JSON, or is longer than PostgreSQL allows.
    """
    payload = json.dumps(message, separators=(",", ":"))  # ASCII, so each character is a byte
    if len(payload) > MAX_NOTIFY_PAYLOAD:
        raise ValueError(
            f"The message has {len(payload)} bytes. NOTIFY sends up to {MAX_NOTIFY_PAYLOAD}."
        )
    return payload


def from_payload(payload: str) -> Any:
    """Return the message in a payload; None if there is none."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
