"""The validation of tasks, by the validators of their fields."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.signals import setting_changed
from django.utils.functional import Promise

from sisy.models.task_fields import TASK_FIELDS, TaskField

if TYPE_CHECKING:
    from sisy.models.task import Task

_VALIDATED = [field for field in TASK_FIELDS.values() if field.is_validated]
_OFTEN_NEW = [field for field in _VALIDATED if field.is_often_new]
_SELDOM_NEW = [field for field in _VALIDATED if not field.is_often_new]
_seldom_new_of = attrgetter(*(field.name for field in _SELDOM_NEW))
MAX_KNOWN = 1000

_known: set[tuple[Any, ...]] = set()  # what tasks held whose other columns could be used


def check(task: "Task", names: frozenset[str]) -> None:
    """Refuse a task of which one of the named columns cannot be used.

    Raises:
        ScheduleError: the schedule or the time zone.
        CallableError: the target.
        ValueError: any other column.
    """
    _check(task, [field for field in _VALIDATED if field.name in names])


def _check(task: "Task", fields: list[TaskField]) -> None:
    checked = None
    for field in fields:
        _reject_lazy(task, field.name)
        # The path and the key of a target follow each other, and one check is for both.
        if field.task_validator is None or field.task_validator is not checked:
            field.check(task)
        checked = field.task_validator


def _reject_lazy(task: "Task", name: str) -> None:
    if isinstance(getattr(task, name), Promise):
        raise ValueError(
            f"{name} is a lazy translation, but a task stores one text for all languages. Pass a "
            f"plain string, for example {name}=str(...)."
        )


def check_new(task: "Task") -> None:
    """Check all columns of a task that is not saved yet, as `check` does.

    Most tasks that are submitted hold what others held before in all columns but a few.
    """
    held = _seldom_new_of(task)
    # 1, 1.0 and True are equal, but not all of them can be used.
    key = (task.state, *held, *map(type, held))
    try:
        is_known = key in _known
    except TypeError:  # a value that has no hash cannot be used, and is named
        is_known = False
    if not is_known:
        _check(task, _SELDOM_NEW)
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known.add(key)
    _check(task, _OFTEN_NEW)


def _forget(**kwargs: Any) -> None:
    _known.clear()


setting_changed.connect(_forget, dispatch_uid="sisy.models.validation")


def check_for_form(task: "Task") -> None:
    """Check every column of the owner's.

    Raises:
        ValidationError: with the message of each column that cannot be used, at its name.
    """
    errors: dict[str, str] = {}
    for field in _VALIDATED:
        try:
            field.check(task)
        except ValueError as error:
            if str(error) not in errors.values():  # of a target, path and key are one problem
                errors[field.name] = str(error)
    if errors:
        raise ValidationError(errors)
