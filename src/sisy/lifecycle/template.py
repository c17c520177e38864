"""Templates of tasks that run once.

Most submissions call the same function under the same policies as an earlier one. The columns of
such tasks and of their runs differ only in a few: in the label, in the object whose method is
called, in the user data and in the moments. All others are computed, checked and written into the
text of a statement for the first of them, and kept as a template. The next ones are copies.

A template depends on the settings, and is forgotten when a test changes one. It does not depend on
what may change at any time: each submission looks up its target again, and uses no template while
a receiver of Django's signals may want to change new records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic

from django.core.signals import setting_changed
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.callables import Target
from sisy.lifecycle.task_state import without_schedule
from sisy.records.alike import Alike
from sisy.records.choices import Origin, Overlap
from sisy.records.instances import another, is_watched, unsaved
from sisy.records.run import RunRecord
from sisy.records.task import T, check_label, check_policies
from sisy.records.validators import json_text
from sisy.store.task_insertion import PairInsertion, insert_with_task

MAX_KNOWN = 1000

_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Once(Generic[T]):
    """An unsaved task that runs once.

    Attributes:
        origin: of its runs.
        template: the template that the task was copied from; None if it was not copied.
    """

    task: T
    origin: Origin
    template: "Template[T] | None" = None

    @staticmethod
    def of(
        model: type[T], target: Target, origin: Origin, options: Mapping[str, Any], **own: Any
    ) -> "Once[T]":
        """Return a new task.

        Args:
            target: a valid target.
            options: policies and other fields of the task that often have the same values. Those
                that are None get their defaults.
            own: fields of this task alone; None again means the default.

        Raises:
            ValueError: one of ``options`` is not valid.
        """
        given = {name: value for name, value in own.items() if value is not None}
        if is_watched(model) or is_watched(model.run_model):
            return Once(_new(model, target, {**options, **given}), origin)
        template = Template.of(model, target, origin, options)
        # Each task has dicts of its own.
        fresh: dict[str, Any] = {"target_pk": target.pk, "_extra_data": {}, "pruned": {}}
        return Once(another(template.task, {**fresh, **given}), origin, template)


@dataclass(frozen=True, slots=True)
class Template(Generic[T]):
    """A task that runs once, and its run. Neither is saved.

    Attributes:
        task: all of its columns are checked.
        insertion: stores copies of both.
    """

    task: T
    run: RunRecord
    insertion: PairInsertion

    @staticmethod
    def of(
        model: type[T], target: Target, origin: Origin, options: Mapping[str, Any]
    ) -> "Template[T]":
        """Return the template of the tasks that call ``target`` under the same policies."""
        # 1, 1.0 and True are equal, but not all of them are valid.
        key = (model, target.path, origin, *options.items(), *map(type, options.values()))
        try:
            known: Template[T] | None = _known.get(key)
        except TypeError:
            # A value without a hash is not valid, and the message names its field.
            return _template(model, target, origin, options)
        if known is None:
            known = _template(model, target, origin, options)
            if len(_known) >= MAX_KNOWN:
                _known.clear()
            _known[key] = known
        return known

    def store(
        self,
        task: T,
        payloads: list[dict[str, Any]],
        now: datetime,
        ready_at: datetime,
        connection: BaseDatabaseWrapper,
    ) -> Sequence[RunRecord]:
        """Insert an unchanged copy of the task with a run for each payload, and return the runs.

        Raises:
            ValueError: the label or the user data are not valid.
        """
        if task.label is not self.task.label:
            check_label(task)
        data = json_text(task.userdata)
        task.created_at = now
        columns = {
            "label": task.label,
            "target_pk": task.target_pk,
            "payload": payloads[0],
            "planned_at": now,
            "ready_at": ready_at,
        }
        run = another(self.run, columns)
        runs = [run] if len(payloads) == 1 else Alike(run, "payload", payloads)
        insert_with_task(connection, self.insertion, task, runs, data)
        task.remember_inserted(connection)
        return runs


def _template(
    model: type[T], target: Target, origin: Origin, options: Mapping[str, Any]
) -> Template[T]:
    task = _new(model, target, options)
    check_policies(task)
    check_label(task)
    run = task.new_run(now=_ANY_MOMENT, origin=origin)
    return Template(task, run, PairInsertion(task, run))


def _new(model: type[T], target: Target, fields: Mapping[str, Any]) -> T:
    """Return an unsaved task without a schedule. Fields that are None get their defaults."""
    given = {name: value for name, value in fields.items() if value is not None}
    of_target = {
        "label": target.path[:255],
        "target_path": target.path,
        "target_pk": target.pk,
        "overlap": Overlap.ALLOW,
    }
    task = unsaved(model, {**of_target, **given})
    without_schedule(task)
    return task


_known: dict[tuple[Any, ...], Template[Any]] = {}


def _forget(**kwargs: Any) -> None:
    _known.clear()


setting_changed.connect(_forget, dispatch_uid="sisy.lifecycle.template")
