"""Reconciles the stored tasks with what code declares, by name, each in its own transaction."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from sisy.declarations import Declaration
from sisy.models import Task, TaskState, activation, timing, validation
from sisy.models.declared import give, in_json, overrides_of
from sisy.models.task_fields import OWNER_FIELDS
from sisy.syncing.changes import Change, Kind
from sisy.syncing.discovery import Discovered

NOT_DECLARED = "No longer declared in code."


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The changes of a sync, by name."""

    changes: Sequence[Change]

    def of(self, *kinds: Kind) -> list[Change]:
        """Return those of some kinds."""
        return [change for change in self.changes if change.kind in kinds]

    @property
    def has_changed(self) -> bool:
        """Return whether anything was to be done."""
        return bool(self.of(Kind.CREATED, Kind.CHANGED, Kind.UNDECLARED))


def sync(using: str, found: Discovered, now: datetime, *, is_rehearsal: bool = False) -> Synced:
    """Create, change and pause tasks so that they are as code says; return what was done.

    Any number may do so at once, and again and again: a name has one task. One declaration that
    cannot be a task stops no other.

    Args:
        is_rehearsal: whether to take back all that was done, and only say what it was.
    """
    with transaction.atomic(using=using) if is_rehearsal else nullcontext():
        changes = [_reconciled(using, each, now) for each in found.declarations]
        names = {each.name for each in found.declarations}
        changes += [
            _no_longer_declared(using, task, now)
            for task in Task.objects.using(using).declared().order_by("name")
            if found.is_complete and task.name not in names
        ]
        if is_rehearsal:
            transaction.set_rollback(True, using=using)
    return Synced(changes=changes)


def _reconciled(using: str, declaration: Declaration, now: datetime) -> Change:
    name = declaration.name
    try:
        wanted = task_of(declaration)
        try:
            return _create_or_change(using, name, wanted, now)
        except IntegrityError:  # somebody else has just made it
            return _create_or_change(using, name, wanted, now)
    except ValueError as error:
        return Change(name=name, kind=Kind.REFUSED, problem=str(error))


def task_of(declaration: Declaration) -> Task:
    """Return an unsaved task that is as code says.

    Raises:
        ValueError: its target, its schedule or another field cannot be used.
    """
    task = Task.calling(declaration.path, **declaration.fields)
    validation.check(task, OWNER_FIELDS)
    return task


def _create_or_change(using: str, name: str, wanted: Task, now: datetime) -> Change:
    with transaction.atomic(using=using):
        task = Task.objects.using(using).select_for_update().filter(name=name).first()
        if task is None:
            return create(using, name, wanted, now)
        return _changed(using, task, wanted)


def create(using: str, name: str, wanted: Task, now: datetime) -> Change:
    """Store the task of a declaration, unless its last occurrence is over at ``now``."""
    if timing.first_due(wanted, now) is None:
        return Change(name=name, kind=Kind.OVER)
    code = in_json(wanted)
    wanted.save(using=using)
    Task.objects.using(using).filter(pk=wanted.pk).update(name=name, declaration=code)
    shown = {field: (None, code[field]) for field in ("schedule", "timezone")}
    return Change(name=name, kind=Kind.CREATED, fields=shown)


def _changed(using: str, task: Task, wanted: Task) -> Change:
    code, own = in_json(wanted), in_json(task)
    follows = _fields_that_follow(task, own, code)
    changed = {field: (own[field], code[field]) for field in follows if own[field] != code[field]}
    give(task, {field: after for field, (_, after) in changed.items()})
    task.save(using=using)
    notes = _taken_up_again(task)
    if notes or code != task.declaration:
        Task.objects.using(using).filter(pk=task.pk).update(declaration=code, undeclared_at=None)
    kept = [one for one in overrides_of(task, code) if one.field not in changed]
    kind = Kind.CHANGED if changed or notes else Kind.UNCHANGED
    return Change(name=str(task.name), kind=kind, fields=changed, kept=kept, notes=notes)


def _fields_that_follow(task: Task, own: Mapping[str, Any], code: Mapping[str, Any]) -> list[str]:
    """Return the fields that hold what code said of them before: nobody has changed them since.

    What a migration has made follows as a whole. Of a field that was not there before, the
    default is what code said.
    """
    if task.declaration is None:
        return sorted(code)
    before = {**in_json(Task()), **task.declaration}
    return [field for field in sorted(code) if own[field] == before[field]]


def _taken_up_again(task: Task) -> list[str]:
    if task.undeclared_at is None:
        return []
    if task.state == TaskState.PAUSED and task.state_reason == NOT_DECLARED:
        task.resume()
        return ["Declared again, and resumed."]
    return [f"Declared again, but still {task.get_state_display()}."]


def _no_longer_declared(using: str, task: Task, now: datetime) -> Change:
    with transaction.atomic(using=using):
        was_active = activation.pause(task, using, NOT_DECLARED)
        Task.objects.using(using).filter(pk=task.pk).update(undeclared_at=now)
    notes = ["Paused. Its history is kept."] if was_active else ()
    return Change(name=str(task.name), kind=Kind.UNDECLARED, notes=notes)
