"""A task in a migration, with the columns of that point of the migration history."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models

from sisy import clock
from sisy.callables import target_of
from sisy.exceptions import CallableError
from sisy.lifecycle.cancel import TASK_DELETED, cancel_in_migration
from sisy.lifecycle.task_state import active, plan_anew
from sisy.lifecycle.withdraw import withdraw, withdraw_outdated
from sisy.models import Task, TaskState
from sisy.models.task_queries import CHANGED
from sisy.planning.declarations import refuse_unknown
from sisy.planning.overdue import settle_overdue
from sisy.planning.timing import timing_columns
from sisy.records.task import check_columns
from sisy.records.task_fields import (
    COLUMNS,
    OWNER_FIELDS,
    PARAMETERS,
    SHAPING_FIELDS,
    TARGET_FIELDS,
)
from sisy.runtime.log import logger

TARGET = frozenset({"callable", "pk_override"})


def migration_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a migration gives a task.

    Raises:
        TypeError: a field is unknown, or the callable is not a dotted path.
    """
    refuse_unknown(name for name in fields if name not in TARGET | PARAMETERS)
    path = fields.get("callable")
    if path is not None and not isinstance(path, str):
        raise TypeError(
            f"{path!r} is not a dotted path. Migrations need the dotted path of the callable, "
            "such as 'shop.jobs.report'."
        )
    said = dict(fields)
    if "allow_overlap" in said:
        said["overlap"] = "allow" if said.pop("allow_overlap") else "skip"
    return said


class MigratedTask:
    """The task with a name, whether it exists or not.

    Args:
        tasks: the historical model of tasks.
        runs: the historical model of runs.
    """

    def __init__(
        self, name: str, using: str, tasks: type[models.Model], runs: type[models.Model]
    ) -> None:
        self._name = name
        self._using = using
        self._tasks = tasks._base_manager.using(using)
        self._runs = runs._base_manager.using(using)
        self._columns = {field.name for field in tasks._meta.concrete_fields}

    def create(self, said: Mapping[str, Any]) -> None:
        """Create the task, active from now on, unless it exists."""
        if self._this().exists():
            logger.warning("Task %s already exists; the migration does not change it", self._name)
            return
        task = Task(label=self._name[:255])
        self._apply(task, said)
        check_columns(task, OWNER_FIELDS - TARGET_FIELDS)
        columns = {name: getattr(task, name) for name in OWNER_FIELDS & self._columns}
        now = clock.now(self._using)
        new = active(name=self._name, created_at=now, planning_since=now)
        self._tasks.create(**columns, **new.columns)

    def alter(self, said: Mapping[str, Any]) -> None:
        """Change fields of the task; None means the default of a field."""
        stored = self._this().values(*OWNER_FIELDS & self._columns).first()
        if stored is None:
            logger.warning("Task %s does not exist; the migration skips it", self._name)
            return
        task = Task(**stored)
        self._apply(task, said)
        changed = {
            name: getattr(task, name) for name in stored if getattr(task, name) != stored[name]
        }
        check_columns(task, frozenset(changed) - TARGET_FIELDS)
        if changed.keys() & (timing_columns(task.schedule) | {"iterations"}):
            self._plan_anew()
        if changed.keys() & TARGET_FIELDS:
            changed["target_error"] = ""
            broken = self._this().filter(state=TaskState.BROKEN)
            active(planning_since=clock.now(self._using)).write(broken)
        self._this().update(**changed)
        if self._has_todays_columns and changed.keys() & SHAPING_FIELDS:
            withdraw_outdated(Task.objects.using(self._using), clock.now(self._using))

    def delete(self) -> None:
        """Delete the task and cancel its queued runs, if it exists."""
        now = clock.now(self._using)
        self._settle_overdue(now, TASK_DELETED, for_good=True)
        runs = self._runs.filter(task__name=self._name)
        cancel_in_migration(runs, TASK_DELETED, now)
        self._this().delete()

    def _plan_anew(self) -> None:
        """Plan the task from now on, unless it is paused."""
        # Read once: an occurrence between two readings would be neither settled nor planned.
        now = clock.now(self._using)
        self._settle_overdue(now, CHANGED)
        plan_anew(self._this(), now)

    def _this(self) -> "models.QuerySet[Any]":
        return self._tasks.filter(name=self._name)

    def _apply(self, task: Task, said: Mapping[str, Any]) -> None:
        for name, value in said.items():
            if name not in TARGET:
                column = COLUMNS.get(name, name)
                default = task._meta.get_field(column).get_default()  # type: ignore[union-attr]
                if name == "label":
                    default = self._name[:255]
                setattr(task, column, default if value is None else value)
        if TARGET & said.keys():
            path, pk = said.get("callable", task.target_path), said.get("pk_override")
            task.target_path, task.target_pk = self._found(path, pk)

    def _found(self, path: str, pk: object) -> tuple[str, str | None]:
        """Return the columns of a target, even if it does not exist now."""
        try:
            target = target_of(path, pk)
        except CallableError as error:
            logger.warning("Task %s: %s", self._name, error)
            return path, None if pk is None else str(pk)
        return target.path, target.pk

    def _settle_overdue(self, now: datetime, reason: str, *, for_good: bool = False) -> None:
        """Record its overdue occurrences, if the tables have all columns of today's models."""
        if self._has_todays_columns:
            stored = Task.objects.using(self._using)
            this = stored.filter(name=self._name)
            settle_overdue(self._using, this, now, reason, for_good=for_good)
            # The clock is read again: what has fallen due while the row was locked stays.
            keys = list(this.values_list("pk", flat=True))
            withdraw(stored, keys, max(now, clock.now(self._using)))

    @property
    def _has_todays_columns(self) -> bool:
        return self._columns == {field.name for field in Task._meta.concrete_fields}
