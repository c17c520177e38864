"""The validation of a task's columns. Each error says what was expected and received."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.signals import setting_changed
from django.db import models
from django.utils import timezone
from django.utils.functional import Promise

from sisy import conf
from sisy.escaping import first_obeyed
from sisy.models.choices import Missed, OnLost, Overlap, TaskState
from sisy.nested import MAX_DEPTH, is_too_deep
from sisy.schedules import Schedule, calendar
from sisy.suggestions import did_you_mean
from sisy.worker_options import QUEUE_NAME

if TYPE_CHECKING:
    from sisy.models.task import Task

JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
ZERO = timedelta(0)
LONGEST = timedelta(days=36_500)


def moment_in(value: Any, name: str) -> datetime:
    """Return the moment that a user passed as ``name``.

    Raises:
        ValueError: not a datetime, a naive one where the project uses time zones, or one that lies
            outside of the years 1000 to 9998.
    """
    if not isinstance(value, datetime):
        raise ValueError(f"{name} must be a datetime, not {value!r}.")
    moment = value if timezone.is_aware(value) else _made_aware(value, name)
    if not calendar.is_within(moment):
        raise ValueError(
            f"{name} must be within the years {calendar.YEARS}, not {moment.isoformat()}."
        )
    return moment


def _made_aware(value: datetime, name: str) -> datetime:
    if settings.USE_TZ:
        raise ValueError(
            f"{name} must be an aware datetime, but {value!r} has no time zone. Use "
            f"django.utils.timezone.make_aware({name}), or pass a tzinfo."
        )
    return timezone.make_aware(value, timezone.get_default_timezone())


def future_moment(value: Any, name: str, now: datetime) -> datetime:
    """Return a moment that a user passed as ``name`` and that must not lie in the past.

    Raises:
        ValueError: as for `moment_in`, and for a moment before ``now``.
    """
    moment = moment_in(value, name)
    if moment < now:
        raise ValueError(
            f"{name} is in the past: {moment.isoformat()} was {now - moment} ago. Pass a later "
            "moment, or leave it out to run immediately."
        )
    return moment


def json_dict(value: Any, name: str = "userdata") -> dict[str, Any]:
    """Return ``value`` if it is a dict that JSON can hold as it is.

    Raises:
        ValueError: it is something else; the message says what.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a dict, not {type(value).__name__}.")
    if is_too_deep(value):
        raise ValueError(
            f"{name} must be nested at most {MAX_DEPTH} levels deep, but it is deeper or "
            "contains itself."
        )
    try:
        text = JSON.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} must be serializable as JSON: {error}.") from None
    if flaw := unstorable_in(text):
        raise ValueError(f"{name} must not contain {flaw}, which databases reject.")
    if stray := _stray_key(value):
        raise ValueError(f"{name} must have strings as keys, not {stray[0]!r}.")
    return value


def unstorable_in(text: str) -> str:
    """Return what databases refuse of a JSON text that keeps its characters; empty if nothing."""
    if "\\u0000" in text.replace("\\\\", ""):
        return "the NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "an unpaired surrogate"
    return ""


def _stray_key(value: Any) -> list[Any]:
    if isinstance(value, dict):
        strays = [key for key in value if not isinstance(key, str)]
        return strays or next(filter(None, map(_stray_key, value.values())), [])
    if isinstance(value, list | tuple):
        return next(filter(None, map(_stray_key, value)), [])
    return []


def _schedule(task: "Task") -> None:
    if task.schedule == "" and task.state == TaskState.RETIRED:
        return  # a task that runs once has no schedule
    Schedule(task.schedule, "UTC", key=task.label)


def _timezone(task: "Task") -> None:
    Schedule("* * * * *", task.timezone)


def _start(task: "Task") -> None:
    if task.start_running is not None:
        task.start_running = moment_in(task.start_running, "start_running")
        _end(task)


def _end(task: "Task") -> None:
    if task.end_running is None:
        return
    task.end_running = moment_in(task.end_running, "end_running")
    if task.start_running is not None and task.end_running <= task.start_running:
        raise ValueError(
            f"end_running ({task.end_running.isoformat()}) must be after start_running "
            f"({task.start_running.isoformat()})."
        )


def _target(task: "Task") -> None:
    task.target.check()


def _userdata(task: "Task") -> None:
    json_dict(task._extra_data)


def _label(task: "Task") -> None:
    if not isinstance(task.label, str) or not 0 < len(task.label) <= 255 or "\0" in task.label:
        raise ValueError(f"label must be a string of 1 to 255 characters, not {task.label!r:.80}.")
    if found := first_obeyed(task.label):
        raise ValueError(
            "label must not contain control characters, such as line breaks, or invisible "
            f"characters. Remove {found!r}."
        )


def queue_name(name: Any) -> str:
    """Return ``name`` if a queue can have it.

    Raises:
        ValueError: it cannot.
    """
    if not isinstance(name, str) or not QUEUE_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r:.80} is not a valid queue name. Use 1 to 60 ASCII letters, digits, '-', "
            "'_' or '.'."
        )
    return name


def _queue(task: "Task") -> None:
    queue_name(task.queue)


def _engine(task: "Task") -> None:
    known = {conf.DEFAULT_ENGINE, *conf.get_settings().engines}
    if task.engine not in known:
        hint = did_you_mean(str(task.engine), known)
        names = ", ".join(map(repr, sorted(known)))
        raise ValueError(
            f"{task.engine!r:.80} is not an engine in SISY_ENGINES.{hint} Valid engines: {names}."
        )


def _backoff(task: "Task") -> None:
    value = task.retry_backoff
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100:
        raise ValueError(f"retry_backoff must be a number from 1 to 100, not {value!r}.")


def _whole(name: str, least: int, most: int, *, empty: bool = False) -> Callable[["Task"], None]:
    def check(task: "Task") -> None:
        value = getattr(task, name)
        if value is None and empty:
            return
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(
                f"{name} must be a whole number from {least} to {most}, not {value!r}."
            )

    return check


def _span(name: str, *, least: timedelta = ZERO, empty: bool) -> Callable[["Task"], None]:
    def check(task: "Task") -> None:
        value = getattr(task, name)
        if value is None and empty:
            return
        if not isinstance(value, timedelta) or not least <= value <= LONGEST:
            raise ValueError(
                f"{name} must be a timedelta from {least} to {LONGEST.days} days, not {value!r}."
            )

    return check


def _choice(name: str, words: type[models.TextChoices]) -> Callable[["Task"], None]:
    values = words.values

    def check(task: "Task") -> None:
        value = getattr(task, name)
        if value not in values:
            hint = did_you_mean(str(value), values)
            known = ", ".join(map(repr, values))
            raise ValueError(f"{name} must be one of {known}, not {value!r}.{hint}")

    return check


def _reject_lazy(task: "Task", name: str) -> None:
    if isinstance(getattr(task, name), Promise):
        raise ValueError(
            f"{name} is a lazy translation, but a task stores one text for all languages. Pass a "
            f"plain string, for example {name}=str(...)."
        )


CHECKS: dict[str, Callable[["Task"], None]] = {
    "label": _label,
    "target_path": _target,
    "target_pk": _target,
    "schedule": _schedule,
    "timezone": _timezone,
    "start_running": _start,
    "end_running": _end,
    "iterations": _whole("iterations", 1, 2**31 - 1, empty=True),
    "_extra_data": _userdata,
    "queue": _queue,
    "engine": _engine,
    "priority": _whole("priority", -100, 100),
    "missed": _choice("missed", Missed),
    "missed_window": _span("missed_window", empty=True),
    "overlap": _choice("overlap", Overlap),
    "on_lost": _choice("on_lost", OnLost),
    "history_runs": _whole("history_runs", 0, 1_000_000_000, empty=True),
    "max_attempts": _whole("max_attempts", 1, 1000),
    "retry_backoff": _backoff,
    "retry_delay": _span("retry_delay", empty=False),
    "retry_max_delay": _span("retry_max_delay", empty=False),
    "timeout": _span("timeout", least=timedelta(milliseconds=1), empty=True),
    "spread": _span("spread", empty=False),
}
"""For each column of the user's, what refuses a value that it cannot hold by a ValueError."""


EACH_TIME = frozenset(
    {"label", "target_path", "target_pk", "start_running", "end_running", "_extra_data"}
)
"""Columns that differ from task to task, that are changed when they are checked, or whose check
depends on more than the column."""

_SELDOM = frozenset(CHECKS) - EACH_TIME
_seldom_of = attrgetter(*sorted(_SELDOM))
MAX_KNOWN = 1000

_known: set[tuple[Any, ...]] = set()  # what tasks held whose other columns could be used


def check(task: "Task", names: frozenset[str]) -> None:
    """Refuse a task of which one of the named columns cannot be used.

    Raises:
        ScheduleError: the schedule or the time zone.
        CallableError: the target.
        ValueError: any other column.
    """
    checked: set[Callable[[Task], None]] = set()  # path and key of a target have the same one
    for name, check_column in CHECKS.items():
        if name in names:
            _reject_lazy(task, name)
            if check_column not in checked:
                checked.add(check_column)
                check_column(task)


def check_new(task: "Task") -> None:
    """Check all columns of a task that is not saved yet, as `check` does.

    Most tasks that are submitted hold what others held before in all columns but a few.
    """
    held = _seldom_of(task)
    # 1, 1.0 and True are equal, but not all of them can be used.
    key = (task.state, *held, *map(type, held))
    try:
        is_known = key in _known
    except TypeError:  # a value that has no hash cannot be used, and is named
        is_known = False
    if not is_known:
        check(task, _SELDOM)
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known.add(key)
    check(task, EACH_TIME)


def _forget(**kwargs: Any) -> None:
    _known.clear()


setting_changed.connect(_forget, dispatch_uid="sisy.models.validation")


def check_for_form(task: "Task") -> None:
    """Check every column of the owner's.

    Raises:
        ValidationError: with the message of each column that cannot be used, at its name.
    """
    errors: dict[str, str] = {}
    for name, check_column in CHECKS.items():
        try:
            check_column(task)
        except ValueError as error:
            if str(error) not in errors.values():  # of a target, path and key are one problem
                errors[name] = str(error)
    if errors:
        raise ValidationError(errors)
