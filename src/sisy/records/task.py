"""The columns of a task, the properties that depend only on them, and their validation."""

from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ValidationError
from django.core.signals import setting_changed
from django.db import connections
from django.utils.functional import Promise

from sisy import conf
from sisy.callables import Target
from sisy.records.choices import Overlap
from sisy.records.columns import TaskColumns
from sisy.records.dirty_fields import DirtyFields
from sisy.records.instances import refer, unsaved
from sisy.records.run import RunRecord
from sisy.records.task_field import TaskField
from sisy.records.task_fields import OWNER_FIELDS, TASK_FIELDS
from sisy.records.validators import json_dict

_VALIDATED = [field for field in TASK_FIELDS.values() if field.is_validated]
_OFTEN_NEW = [field for field in _VALIDATED if field.is_often_new]
_SELDOM_NEW = [field for field in _VALIDATED if not field.is_often_new]
_LABEL = [TASK_FIELDS["label"]]
_seldom_new_of = attrgetter(*(field.name for field in _SELDOM_NEW))
MAX_KNOWN = 1000

# Most submitted tasks differ from an earlier one in few columns. The valid values of the others
# are kept, so that they are checked once.
_known: set[tuple[Any, ...]] = set()


class TaskRecord(DirtyFields, TaskColumns):
    """The columns of a task. `sisy.models.Task` adds what users call on it.

    The layers below the models take tasks as records, and never call those methods.
    """

    tracked = OWNER_FIELDS
    inserted_at_field = "created_at"
    run_model: ClassVar[type[RunRecord]]

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.label

    @property
    def is_used_up(self) -> bool:
        """Return whether all of its iterations are planned."""
        return self.iterations is not None and self.runs_planned >= self.iterations

    @property
    def is_due_at_once(self) -> bool:
        """Return whether its first run is not planned yet and does not wait for the schedule."""
        return self.planned_until is None and not self.wait_for_schedule

    @property
    def runs_once(self) -> bool:
        """Return whether it has no schedule, only the runs that were submitted with it."""
        return not self.schedule

    @property
    def target(self) -> Target:
        """The target of the task."""
        return Target(path=self.target_path, pk=self.target_pk)

    @property
    def userdata(self) -> dict[str, Any]:
        """The task's own JSON data; change it in place and ``save()``.

        Raises:
            ValueError: on assignment or ``save()``, if JSON cannot represent a value.
        """
        return self._extra_data  # type: ignore[no-any-return]

    @userdata.setter
    def userdata(self, value: dict[str, Any]) -> None:
        self._extra_data = json_dict(value)

    @property
    def allow_overlap(self) -> bool:
        """Return whether a run may start while another run of the task is running."""
        return self.overlap == Overlap.ALLOW

    @allow_overlap.setter
    def allow_overlap(self, value: bool) -> None:
        self.overlap = Overlap.ALLOW if value else Overlap.SKIP

    def new_run(self, *, now: datetime, **columns: Any) -> RunRecord:
        """Return an unsaved run of this task that is ready at ``ready_at``, by default now."""
        of_task = {
            "label": self.label,
            "target_path": self.target_path,
            "target_pk": self.target_pk,
            "queue": self.queue,
            "priority": self.priority,
            "engine": conf.get_settings().alias_of(self.engine),
        }
        run = unsaved(self.run_model, {**of_task, "planned_at": now, "ready_at": now, **columns})
        refer(run, "task", self)
        return run

    def insert_alone(self, using: str, **options: Any) -> None:
        """Insert the task in the caller's transaction, without planning it."""
        pk = self.pk
        super().save(using=using, **options)
        self.remember_inserted(connections[using], pk)


T = TypeVar("T", bound=TaskRecord)


def check_columns(task: TaskRecord, names: frozenset[str]) -> None:
    """Check the named columns of a task.

    Raises:
        ScheduleError: the schedule or the time zone is invalid.
        CallableError: a worker cannot call the target.
        ValueError: another column has an invalid value.
    """
    _check(task, [field for field in _VALIDATED if field.name in names])


def _check(task: TaskRecord, fields: list[TaskField]) -> None:
    checked = None
    for field in fields:
        _reject_lazy(task, field.name)
        # The path and the key of a target are neighbors and share one check.
        if field.task_validator is None or field.task_validator is not checked:
            field.check(task)
        checked = field.task_validator


def _reject_lazy(task: TaskRecord, name: str) -> None:
    if isinstance(getattr(task, name), Promise):
        raise ValueError(
            f"{name} is a lazy translation, but a task stores one text for all languages. Pass a "
            f"plain string, for example {name}=str(...)."
        )


def check_new(task: TaskRecord) -> None:
    """Check all columns of an unsaved task, as `check_columns` does."""
    held = _seldom_new_of(task)
    # 1, 1.0 and True are equal, but not all of them can be used.
    key = (task.state, *held, *map(type, held))
    try:
        is_known = key in _known
    except TypeError:
        # A value without a hash is invalid. The check below names its column.
        is_known = False
    if not is_known:
        check_policies(task)
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known.add(key)
    _check(task, _OFTEN_NEW)


def check_policies(task: TaskRecord) -> None:
    """Check the columns that are seldom new, as `check_columns` does."""
    _check(task, _SELDOM_NEW)


def check_label(task: TaskRecord) -> None:
    """Check the label, as `check_columns` does."""
    _check(task, _LABEL)


def _forget(**kwargs: Any) -> None:
    _known.clear()


setting_changed.connect(_forget, dispatch_uid="sisy.records.task")


def check_for_form(task: TaskRecord) -> None:
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
