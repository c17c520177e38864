"""The fields of a task, in one table: who sets each, what it accepts, and who else needs it.

Every list of a task's fields derives from `TASK_FIELDS`. To add a field, add its column to
`TaskColumns` and its row here.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from sisy.records.choices import Missed, OnLost, Overlap, TaskState
from sisy.records.task_field import Planning, Section, Setter, TaskField
from sisy.records.validators import (
    address,
    choice,
    engine,
    json_dict,
    label,
    moment_in,
    note,
    number,
    optional,
    span,
    time_zone,
    truth,
    whole,
)
from sisy.runtime.worker_options import queue_name
from sisy.schedules import Schedule

if TYPE_CHECKING:
    from sisy.records.task import TaskRecord


def _check_target(task: "TaskRecord") -> None:
    task.target.check()


def _check_schedule(task: "TaskRecord") -> None:
    if task.schedule == "" and task.state == TaskState.RETIRED:
        # It runs once, without a schedule.
        return
    Schedule(task.schedule, "UTC", key=task.label)


def _check_start(task: "TaskRecord") -> None:
    if task.start_running is not None:
        task.start_running = moment_in(task.start_running, "start_running")
        _check_end(task)


def _check_end(task: "TaskRecord") -> None:
    if task.end_running is None:
        return
    task.end_running = moment_in(task.end_running, "end_running")
    if task.start_running is not None and task.end_running <= task.start_running:
        raise ValueError(
            f"end_running ({task.end_running.isoformat()}) must be after start_running "
            f"({task.start_running.isoformat()})."
        )


SECOND = timedelta(seconds=1)

_target = partial(TaskField, section=Section.TARGET, is_often_new=True, shapes_runs=True)
_when = partial(TaskField, section=Section.WHEN)
_where = partial(TaskField, section=Section.WORKERS, shapes_runs=True)
_policy = partial(TaskField, section=Section.TROUBLE, is_policy=True)
_attempt = partial(_policy, planning=Planning.DEFERRED, is_backend_option=True)
_alert = partial(_policy, planning=Planning.DEFERRED, section=Section.ALERTS)
_limit = partial(
    _alert, validator=optional(span(SECOND)), limits_runs=True, is_backend_option=True
)
_of_scheduler = partial(TaskField, setter=Setter.SCHEDULER)
_deferred = partial(_of_scheduler, planning=Planning.DEFERRED)

_ROWS = (
    _target("label", validator=label, planning=Planning.FIRST_DUE),
    _target("target_path", task_validator=_check_target, restricted_without="use_any_callable"),
    _target("target_pk", task_validator=_check_target),
    _target(
        "_extra_data",
        public_name="userdata",
        validator=json_dict,
        planning=Planning.DEFERRED,
        shapes_runs=False,
        hidden_without="view_run_details",
    ),
    TaskField(
        "note",
        validator=note,
        planning=Planning.DEFERRED,
        is_policy=True,
        section=Section.TARGET,
    ),
    _when("schedule", task_validator=_check_schedule, planning=Planning.TIMING),
    _when("timezone", validator=time_zone, planning=Planning.TIMING),
    _when(
        "start_running",
        task_validator=_check_start,
        planning=Planning.TIMING,
        is_often_new=True,
    ),
    _when("end_running", task_validator=_check_end, planning=Planning.TIMING, is_often_new=True),
    _when(
        "iterations",
        validator=optional(whole(1, 2**31 - 1)),
        planning=Planning.FIRST_DUE,
        shapes_runs=True,
    ),
    _when("wait_for_schedule", validator=truth, planning=Planning.FIRST_DUE, is_policy=True),
    _where("queue", validator=queue_name),
    _where("priority", validator=whole(-100, 100), is_policy=True),
    _where("engine", validator=engine, is_policy=True),
    _policy("missed", validator=choice(Missed)),
    _policy("missed_window", validator=optional(span())),
    _policy(
        "overlap",
        shortcut="allow_overlap",
        validator=choice(Overlap),
        planning=Planning.DEFERRED,
    ),
    _attempt("timeout", validator=optional(span(timedelta(milliseconds=1)))),
    _policy("spread", validator=span(), shapes_runs=True),
    _attempt("max_attempts", validator=whole(1, 1000), section=Section.FAILURE),
    _attempt("retry_delay", validator=span(), section=Section.FAILURE),
    _attempt("retry_backoff", validator=number(1, 100), section=Section.FAILURE),
    _attempt("retry_max_delay", validator=span(), section=Section.FAILURE),
    _attempt("on_lost", validator=choice(OnLost), section=Section.FAILURE),
    _alert("alert_after", validator=optional(whole(0, 1000)), is_backend_option=True),
    _limit("start_within"),
    _limit("expected_duration"),
    _limit("stalled_after"),
    _alert("success_every", validator=optional(span(timedelta(minutes=1))), clears="silent_at"),
    _alert("ping", validator=address, is_secret=True, hidden_without="view_run_details"),
    _policy(
        "history_runs",
        validator=optional(whole(0, 1_000_000_000)),
        planning=Planning.DEFERRED,
        section=Section.HISTORY,
    ),
    _of_scheduler("state", section=Section.STATUS),
    _deferred("state_reason", section=Section.STATUS),
    _deferred("paused_until", section=Section.STATUS),
    _deferred("target_error"),
    _of_scheduler("next_run", section=Section.STATUS),
    _of_scheduler("last_run", section=Section.STATUS),
    _of_scheduler("planned_until", planning=Planning.FIRST_DUE),
    _of_scheduler("planning_since", planning=Planning.FIRST_DUE),
    _of_scheduler("runs_planned", planning=Planning.FIRST_DUE),
    _deferred("silent_at"),
    _deferred("pruned"),
    _deferred("timing_fingerprint"),
    _deferred("created_at"),
    _of_scheduler("name"),
    _deferred("declaration"),
    _of_scheduler("undeclared_at"),
)

TASK_FIELDS = {field.name: field for field in _ROWS}
"""The table: every column of a task but its key, by name, in the order of the form."""


def _names(keep: "Callable[[TaskField], object]") -> frozenset[str]:
    return frozenset(field.name for field in TASK_FIELDS.values() if keep(field))


OWNER_FIELDS = _names(lambda field: field.setter is Setter.OWNER)
"""Columns that `Task.save` writes, those of them that changed."""

SCHEDULER_FIELDS = _names(lambda field: field.setter is Setter.SCHEDULER)
"""Columns that only the scheduler writes; `Task.save` never does."""

TARGET_FIELDS = _names(lambda field: field.task_validator is _check_target)
"""Columns that say what a task calls."""

TIMING_FIELDS = _names(lambda field: field.planning >= Planning.TIMING)
"""Columns of the schedule and its window. If one changes, the task is planned again."""

SHAPING_FIELDS = TIMING_FIELDS | _names(lambda field: field.shapes_runs)
"""Columns that decide what runs a task has. If one changes, runs planned ahead are withdrawn."""

CLEARED_BY = {field.name: field.clears for field in TASK_FIELDS.values() if field.clears}
"""By the column of the owner: the scheduler's column that a change of it clears."""

FIRST_DUE_FIELDS = _names(lambda field: field.planning >= Planning.FIRST_DUE)
"""Columns that are needed to compute when a task is next due."""

DEFERRED_FIELDS = _names(lambda field: field.planning == Planning.DEFERRED)
"""Columns that planning does not need. Some of them may be long."""

BACKEND_OPTIONS = tuple(sorted(_names(lambda field: field.is_backend_option)))
"""Columns that ``OPTIONS`` of a backend of ``django.tasks`` may set for all of its tasks."""

SECRET_FIELDS = _names(lambda field: field.is_secret)
"""Columns whose values are shown masked, even to people who may set them."""

LIMITS_OF_RUNS = tuple(sorted(_names(lambda field: field.limits_runs)))
"""Columns that say how long a run may be queued, be running, or report no progress."""

SHOWN_FIELDS = _names(lambda field: field.section and not field.hidden_without)
"""Columns that everyone who may see a task may read."""

COLUMNS = {
    given: field.name
    for field in TASK_FIELDS.values()
    for given in (field.public_name, field.shortcut)
    if given
}
"""By the property of `Task` that sets a column under another name: the column."""

PUBLIC_NAMES = {name: field.public_name or name for name, field in TASK_FIELDS.items()}
"""By column: the name that users know."""

GIVEN_NAMES = OWNER_FIELDS | COLUMNS.keys()
"""Every name by which code may set a field of a task."""

PARAMETERS = frozenset(
    PUBLIC_NAMES[name] for name in OWNER_FIELDS - TARGET_FIELDS if not TASK_FIELDS[name].is_policy
)
"""The other fields that code may set, by their public names."""


def owners_columns(update_fields: Iterable[str]) -> frozenset[str]:
    """Return the columns in ``update_fields`` that the owner sets.

    Raises:
        ValueError: only the scheduler sets them.
    """
    # Some libraries name all columns. Those of the scheduler are left out, not rejected.
    names = frozenset(COLUMNS.get(name, name) for name in update_fields)
    owners = names - SCHEDULER_FIELDS
    if names and not owners:
        raise ValueError(
            f"update_fields contains {min(names)!r}, which only Sisy sets. Remove it. "
            "To stop or start a task, call pause() or resume()."
        )
    return owners
