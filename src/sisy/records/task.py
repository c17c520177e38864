"""The columns of a task, the properties that depend only on them, and its insertion."""

from datetime import datetime
from typing import Any, ClassVar, TypeVar

from sisy import conf
from sisy.callables import Target
from sisy.records.choices import Overlap
from sisy.records.columns import TaskColumns
from sisy.records.dirty_fields import DirtyFields
from sisy.records.instances import refer, unsaved
from sisy.records.run import RunRecord
from sisy.records.task_fields import OWNER_FIELDS
from sisy.records.validators import json_dict


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
        self.remember_inserted(using, pk)


T = TypeVar("T", bound=TaskRecord)
