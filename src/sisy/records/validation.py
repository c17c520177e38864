"""The validation of tasks, by the validators of their fields."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.signals import setting_changed
from django.utils.functional import Promise

from sisy.records.task_fields import TASK_FIELDS, TaskField

if TYPE_CHECKING:
    from sisy.records.task import TaskRecord

_VALIDATED = [field for field in TASK_FIELDS.values() if field.is_validated]
_OFTEN_NEW = [field for field in _VALIDATED if field.is_often_new]
_SELDOM_NEW = [field for field in _VALIDATED if not field.is_often_new]
_seldom_new_of = attrgetter(*(field.name for field in _SELDOM_NEW))
MAX_KNOWN = 1000

# Most submitted tasks differ from an earlier one in few columns. The valid values of the others
# are kept, so that they are checked once.
_known: set[tuple[Any, ...]] = set()


def check(task: "TaskRecord", names: frozenset[str]) -> None:
    """Check the named columns of a task.

    Raises:
        ScheduleError: the schedule or the time zone is invalid.
        CallableError: a worker cannot call the target.
        ValueError: another column has an invalid value.
    """
    _check(task, [field for field in _VALIDATED if field.name in names])


def _check(task: "TaskRecord", fields: list[TaskField]) -> None:
    checked = None
    for field in fields:
        _reject_lazy(task, field.name)
        # The path and the key of a target are neighbors and share one check.
        if field.task_validator is None or field.task_validator is not checked:
            field.check(task)
        checked = field.task_validator


def _reject_lazy(task: "TaskRecord", name: str) -> None:
    if isinstance(getattr(task, name), Promise):
        raise ValueError(
            f"{name} is a lazy translation, but a task stores one text for all languages. Pass a "
            f"plain string, for example {name}=str(...)."
        )


def check_new(task: "TaskRecord") -> None:
    """Check all columns of an unsaved task, as `check` does."""
    held = _seldom_new_of(task)
    # 1, 1.0 and True are equal, but not all of them can be used.
    key = (task.state, *held, *map(type, held))
    try:
        is_known = key in _known
    except TypeError:
        # A value without a hash is invalid. The check below names its column.
        is_known = False
    if not is_known:
        _check(task, _SELDOM_NEW)
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known.add(key)
    _check(task, _OFTEN_NEW)


def _forget(**kwargs: Any) -> None:
    _known.clear()


setting_changed.connect(_forget, dispatch_uid="sisy.records.validation")


def check_for_form(task: "TaskRecord") -> None:
    """Check every column that the owner sets.

    Raises:
        ValidationError: with a message for each invalid column, under its name.
    """
    errors: dict[str, str] = {}
    for field in _VALIDATED:
        try:
            field.check(task)
        except ValueError as error:
            # The path and the key of a target fail with the same message.
            if str(error) not in errors.values():
                errors[field.name] = str(error)
    if errors:
        raise ValidationError(errors)
