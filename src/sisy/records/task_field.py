"""The facts about a column of a task, beside its type; see `sisy.records.task_fields`."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from sisy.records.validators import Validator

if TYPE_CHECKING:
    from sisy.records.task import TaskRecord


class Setter(Enum):
    """The writers of a field of a stored task."""

    OWNER = "owner"
    """People and code, by assigning it and `Task.save`."""
    SCHEDULER = "scheduler"
    """Sisy itself. `Task.save` never writes it."""


class Section(Enum):
    """A section of the form of a task, in the order of the form."""

    TARGET = "target"
    WHEN = "when"
    WORKERS = "workers"
    TROUBLE = "trouble"
    FAILURE = "failure"
    ALERTS = "alerts"
    HISTORY = "history"
    STATUS = "status"
    """The section that people only read."""


class Planning(IntEnum):
    """The role of a field in planning a task. Each level includes those before it."""

    DEFERRED = 0
    """The heartbeat does not read it when it plans the task."""
    LOADED = 1
    """The heartbeat reads it with each task that is due."""
    FIRST_DUE = 2
    """It is needed to compute when the task is next due."""
    TIMING = 3
    """It belongs to the schedule or its window. If it changes, the task is planned again."""


@dataclass(frozen=True, slots=True)
class TaskField:
    """The facts about a column of a task, beside its type.

    Attributes:
        name: the name of the column.
        setter: who writes it.
        public_name: the name for users, where it differs from that of the column.
        shortcut: a property of `Task` that sets the column by another kind of value.
        validator: rejects an invalid value.
        task_validator: rejects a value that is invalid together with other columns of the task.
            It may convert the value.
        is_often_new: whether it usually differs from one submitted task to the next, or its
            validator converts it. Its valid values are not kept.
        is_policy: whether it is one of `sisy.planning.declarations.Policies`, which every way to
            create a task accepts.
        limits_runs: whether a queued or running run that exceeds it opens an alert.
        is_backend_option: whether ``OPTIONS`` of a backend of ``django.tasks`` may set it.
        planning: how much the plan depends on it.
        shapes_runs: whether a run depends on it when it is planned. If it changes, the runs that
            were planned ahead are withdrawn. A changed timing always withdraws them.
        clears: the scheduler's column that a change clears, so that a heartbeat computes it again.
        section: the section of the form that shows it; None if no form does.
        is_secret: whether it is an address that is a secret, and is shown masked.
        hidden_without: the permission without which people neither see it nor set it in a form.
        restricted_without: the permission without which people may only choose known values.
    """

    name: str
    _: KW_ONLY
    setter: Setter = Setter.OWNER
    public_name: str = ""
    shortcut: str = ""
    validator: Validator | None = None
    task_validator: "Callable[[TaskRecord], None] | None" = None
    is_often_new: bool = False
    is_policy: bool = False
    limits_runs: bool = False
    is_backend_option: bool = False
    planning: Planning = Planning.LOADED
    shapes_runs: bool = False
    clears: str = ""
    section: Section | None = None
    is_secret: bool = False
    hidden_without: str = ""
    restricted_without: str = ""

    @property
    def is_validated(self) -> bool:
        return self.validator is not None or self.task_validator is not None

    def check(self, task: "TaskRecord") -> None:
        """Check this field of a task.

        Raises:
            ValueError: its value is invalid. The message says what the field expects.
        """
        if self.validator is not None:
            self.validator(getattr(task, self.name), self.public_name or self.name)
        if self.task_validator is not None:
            self.task_validator(task)
