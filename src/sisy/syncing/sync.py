"""Create, update and delete tasks as the code declares them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import IntegrityError, transaction

from sisy.models import Task, TaskState
from sisy.models.declared import Override, give, in_json, overrides_of
from sisy.planning import activation, timing
from sisy.planning.declarations import Declaration
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from sisy.records.task import check_columns
from sisy.records.task_fields import OWNER_FIELDS
from sisy.syncing.discovery import Discovered

NOT_DECLARED = "No longer declared in code."


class Kind(StrEnum):
    """The effect of a sync on a task."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNDECLARED = "no longer declared"
    OVER = "no occurrences"
    """Its last occurrence is over, so no task was created."""
    REFUSED = "refused"
    """The declaration was rejected; a task that was created from it before stays unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of one task by a sync.

    Attributes:
        name: the name of the declaration.
        fields: the values before and after, by the name of each changed field.
        kept: the fields that were changed by hand and so keep their values.
        notes: further sentences.
        problem: the reason of a rejection.
    """

    name: str
    kind: Kind
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    kept: Sequence[Override] = ()
    notes: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The changes of a sync, by name."""

    changes: Sequence[Change]

    def of(self, *kinds: Kind) -> list[Change]:
        """Return the changes of some kinds."""
        return [change for change in self.changes if change.kind in kinds]

    @property
    def has_changed(self) -> bool:
        """Return whether the sync changed anything."""
        return bool(self.of(Kind.CREATED, Kind.CHANGED, Kind.UNDECLARED))


def sync(using: str, found: Discovered, now: datetime, *, is_rehearsal: bool = False) -> Synced:
    """Create, change and pause tasks so that they match the code; return what was done.

    Any number of processes may sync at once. A rejected declaration does not stop the others.

    Args:
        is_rehearsal: whether to roll all changes back, and only return them.
    """
    with (
        transaction.atomic(using=using) if is_rehearsal else nullcontext(),
        changed_by(ChangedBy.DECLARATION),
    ):
        names = {each.name for each in found.declarations}
        changes = [_reconciled(using, each, names, now) for each in found.declarations]
        changes += [
            _no_longer_declared(using, task, now)
            for task in Task.objects.using(using).declared().order_by("name")
            if found.is_complete and task.name not in names
        ]
        if is_rehearsal:
            transaction.set_rollback(True, using=using)
    return Synced(changes=changes)


def _reconciled(
    using: str, declaration: Declaration, names: Collection[str], now: datetime
) -> Change:
    name = declaration.name
    try:
        wanted = task_of(declaration)
        try:
            return _create_or_change(using, name, names, wanted, now)
        except IntegrityError:  # another process has just created it
            return _create_or_change(using, name, names, wanted, now)
    except ValueError as error:
        return Change(name=name, kind=Kind.REFUSED, problem=str(error))


def task_of(declaration: Declaration) -> Task:
    """Return the unsaved task of a declaration.

    Raises:
        ValueError: the target, the schedule or another field is not valid.
    """
    task = Task.calling(declaration.path, **declaration.fields)
    check_columns(task, OWNER_FIELDS)
    return task


def _create_or_change(
    using: str, name: str, names: Collection[str], wanted: Task, now: datetime
) -> Change:
    with transaction.atomic(using=using):
        task = Task.objects.using(using).select_for_update().filter(name=name).first()
        if task is None:
            return create(using, name, wanted, now)
        if task.name != name:
            _rename(using, task, name, names)
        return _changed(using, task, wanted)


def _rename(using: str, task: Task, name: str, names: Collection[str]) -> None:
    """Give a task the name of its declaration, which is the same one to the database.

    Raises:
        ValueError: another declaration has the name of the task.
    """
    # MySQL and MariaDB ignore case and accents, for example.
    if task.name in names:
        raise ValueError(
            f"The database does not distinguish the name {name!r} from {task.name!r}, which is "
            "declared as well. Choose another name."
        )
    Task.objects.using(using).filter(pk=task.pk).update(name=name)
    task.name = name


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
    """Return the fields that were not changed by hand since the last sync."""
    # A task that a migration created has no declaration yet: all of its fields follow the code.
    # A field that is newer than the declaration had its default.
    if task.declaration is None:
        return sorted(code)
    before = {**in_json(Task()), **task.declaration}
    return [field for field in sorted(code) if own[field] == before[field]]


def _taken_up_again(task: Task) -> list[str]:
    if task.undeclared_at is None:
        return []
    if task.state == TaskState.PAUSED and task.state_reason == NOT_DECLARED:
        task.resume()
        return ["Resumed, because it is declared again."]
    return [f"Declared again, but still {task.get_state_display()}."]


def _no_longer_declared(using: str, task: Task, now: datetime) -> Change:
    with transaction.atomic(using=using):
        was_active = activation.pause(task, using, NOT_DECLARED)
        Task.objects.using(using).filter(pk=task.pk).update(undeclared_at=now)
    notes = ["Paused. Its history is kept."] if was_active else ()
    return Change(name=str(task.name), kind=Kind.UNDECLARED, notes=notes)
