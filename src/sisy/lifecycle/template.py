"""Templates of tasks that run once.

Most submissions call the same function under the same policies as an earlier one. The columns of
such tasks and of their runs differ only in a few: in the label, in the object whose method is
called, in the user data and in the moments. All others are computed, checked and written into the
text of a statement for the first of them, and kept as a template. The next ones are copies.

A template depends on the settings, and is forgotten when a test changes one. It does not depend on
what may change at any time: each submission looks up its target and the receivers of Django's
signals again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic

from django.core.signals import setting_changed

from sisy.callables import Target
from sisy.lifecycle.task_state import without_schedule
from sisy.records.choices import Origin, Overlap
from sisy.records.instances import another, unsaved
from sisy.records.run import RunRecord
from sisy.records.task import T, check_label_and_data, check_policies
from sisy.store.submissions import PairInsertion, insert_with_task

MAX_KNOWN = 1000

_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Template(Generic[T]):
    """A task that runs once, and its run. Neither is saved.

    Attributes:
        task: all of its columns are checked, but for those that differ.
        insertion: stores copies of both.
    """

    task: T
    run: RunRecord
    insertion: PairInsertion

    @staticmethod
    def of(
        model: type[T], target: Target, origin: Origin, options: Mapping[str, Any]
    ) -> "Template[T]":
        """Return the template of the tasks that call ``target`` under the same policies.

        Args:
            target: a valid target.
            options: policies and other fields of the task. Those that are None get their defaults.

        Raises:
            ValueError: a value is not valid.
        """
        # 1, 1.0 and True are equal, but not all of them are valid.
        key = (model, target.path, origin, *options.items(), *map(type, options.values()))
        try:
            known: Template[T] | None = _known.get(key)
        except TypeError:
            # A value without a hash is not valid, and the message names its field.
            return _made(model, target, origin, options)
        if known is None:
            known = _made(model, target, origin, options)
            if len(_known) >= MAX_KNOWN:
                _known.clear()
            _known[key] = known
        return known

    def filled(
        self, target: Target, label: str | None, userdata: dict[str, Any] | None
    ) -> "Once[T]":
        """Return a task like that of the template."""
        columns = {
            "label": self.task.label if label is None else label,
            "target_pk": target.pk,
            "_extra_data": {} if userdata is None else userdata,
            "pruned": {},  # a dict of its own
        }
        return Once(another(self.task, columns), self)

    def store(
        self, task: T, payload: dict[str, Any], now: datetime, ready_at: datetime, using: str
    ) -> RunRecord:
        """Insert an unchanged copy of the task with its run, and return the run.

        Raises:
            ValueError: the label or the user data are not valid.
        """
        check_label_and_data(task)
        task.created_at = now
        columns = {
            "label": task.label,
            "target_pk": task.target_pk,
            "payload": payload,
            "planned_at": now,
            "ready_at": ready_at,
        }
        run = another(self.run, columns)
        insert_with_task(using, self.insertion, task, run)
        task.remember_inserted(using)
        return run


@dataclass(frozen=True, slots=True)
class Once(Generic[T]):
    """An unsaved task that runs once, and the template of which it is a copy."""

    task: T
    template: Template[T]


_known: dict[tuple[Any, ...], Template[Any]] = {}


def _made(
    model: type[T], target: Target, origin: Origin, options: Mapping[str, Any]
) -> Template[T]:
    given = {name: value for name, value in options.items() if value is not None}
    of_target = {"label": target.path[:255], "target_path": target.path}
    task = unsaved(model, {**of_target, "overlap": Overlap.ALLOW, **given})
    without_schedule(task)
    check_policies(task)
    run = task.new_run(now=_ANY_MOMENT, origin=origin)
    return Template(task, run, PairInsertion(task, run))


def _forget(**kwargs: Any) -> None:
    _known.clear()


setting_changed.connect(_forget, dispatch_uid="sisy.lifecycle.template")
