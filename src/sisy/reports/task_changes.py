"""The recorded changes of a task in words, and the values that undo one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from sisy.models import Task, TaskChange, TaskState
from sisy.models.declared import USERDATA_COLUMN, in_json
from sisy.records.choices import ChangedBy
from sisy.records.task_change import MAX_KEPT
from sisy.records.task_fields import OWNER_FIELDS, SECRET_FIELDS, TASK_FIELDS
from sisy.reports import field_text, formatting
from sisy.reports.disclosure import masked

May = Callable[[str], bool]
"""Returns whether the reader has a permission, named without ``sisy.``."""

MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDiff:
    """A field, or a key of the user data, with its values before and after a change.

    Attributes:
        note: what to show in place of the values; empty if they are shown.
    """

    name: str
    before: str = ""
    after: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChange:
    """A recorded change, as a reader may see it.

    Attributes:
        who: the author, in words.
        words: what happened, if the task was paused or resumed.
        can_be_reverted: whether it has values that can be given back.
    """

    pk: int
    moment: datetime
    who: str
    words: str
    fields: tuple[FieldDiff, ...]
    can_be_reverted: bool


def changes_of_task(using: str, task: Task, may: May) -> list[ShownChange]:
    """Return the recorded changes of a task, newest first."""
    stored = TaskChange.objects.using(using).filter(task_id=task.pk).order_by("-pk")
    return [_shown(change, may) for change in stored[:MAX_KEPT]]


def _shown(change: TaskChange, may: May) -> ShownChange:
    return ShownChange(
        pk=change.pk,
        moment=change.changed_at,
        who=_who(change),
        words=_state_in_words(change.fields) if "state" in change.fields else "",
        fields=tuple(diff(change.fields, may)),
        can_be_reverted=any(name in OWNER_FIELDS and both for name, both in change.fields.items()),
    )


def _who(change: TaskChange) -> str:
    if change.kind == ChangedBy.PERSON:
        return str(change.by)
    if change.kind == ChangedBy.COMMAND:
        return gettext("%s, by a command") % change.by
    known: dict[str, str] = {
        ChangedBy.DECLARATION: gettext("Declaration in code"),
        ChangedBy.HEARTBEAT: gettext("End of the pause"),
    }
    return known.get(change.kind) or gettext("Code")


def _state_in_words(fields: Mapping[str, Any]) -> str:
    state = fields["state"][1]
    reason = str((fields.get("state_reason") or ["", ""])[1])
    if state == TaskState.PAUSED:
        until = (fields.get("paused_until") or [None, None])[1]
        words = gettext("Paused")
        if until:
            moment = formatting.short(datetime.fromisoformat(until))
            words = gettext("Paused until %s") % moment
        return f"{words}: {reason}" if reason else f"{words}."
    if state == TaskState.BROKEN:
        return gettext("Resumed, but it is broken: %s") % reason
    return gettext("Resumed.")


def diff(fields: Mapping[str, Any], may: May) -> Iterator[FieldDiff]:
    """Yield the differences of a change, as a reader may see them.

    Args:
        fields: by column, the values before and after, as JSON; empty if they are unknown.
    """
    for column in TASK_FIELDS:  # in the order of the form
        if column in fields and column in OWNER_FIELDS:
            name, both = field_text.name_of(column), fields[column]
            hidden = TASK_FIELDS[column].hidden_without
            if column in SECRET_FIELDS or (hidden and not may(hidden)):
                yield FieldDiff(name=name, note=gettext("changed"))
            elif not both:
                yield FieldDiff(name=name, note=gettext("changed (too long to keep)"))
            elif column == USERDATA_COLUMN:
                yield from _data_diff(name, *both)
            else:
                before, after = (field_text.value_of(column, value) for value in both)
                yield FieldDiff(name=name, before=before, after=after)


def _data_diff(name: str, before: Any, after: Any) -> Iterator[FieldDiff]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield FieldDiff(name=name, before=_data(before), after=_data(after))
        return
    for key in sorted({*before, *after}):
        old, new = (
            _data(masked({key: data[key]})[key]) if key in data else field_text.EMPTY
            for data in (before, after)
        )
        if before.get(key, MISSING) != after.get(key, MISSING):
            named = f"{name}: {field_text.shortened(key)}"
            note = gettext("changed") if old == new else ""
            yield FieldDiff(name=named, before=old, after=new, note=note)


def _data(value: Any) -> str:
    return field_text.json_text(masked(value))


def undoing(task: Task, change: TaskChange) -> dict[str, Any]:
    """Return the values before a change, by column, where the task has others now."""
    now = in_json(task)
    return {
        name: both[0]
        for name in TASK_FIELDS  # in the order of the form
        if name in now and (both := change.fields.get(name)) and now[name] != both[0]
    }


def forbidden(columns: Mapping[str, Any], may: May) -> list[str]:
    """Return the permissions that the reader needs to set these columns, but does not have."""
    fields = [TASK_FIELDS[name] for name in columns]
    needed = {field.hidden_without or field.restricted_without for field in fields} - {""}
    return sorted(name for name in needed if not may(name))
