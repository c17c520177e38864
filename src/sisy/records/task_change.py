"""The table of the changes of tasks: who changed what, and when.

A change is written in the transaction that makes it. Planning and executing runs write none, and
neither does a run that only stores its user data. A task has at most `MAX_KEPT` entries.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import models

from sisy.records.authorship import author, changed_by
from sisy.records.choices import ChangedBy
from sisy.records.fields import DataField, MomentField, ReasonField
from sisy.records.nested import written

MAX_KEPT = 50  # entries of a task, the newest ones
PRUNE_BATCH = 100  # entries that a change deletes at most; mostly, it is one
MAX_LENGTH = 20_000  # characters of a value, as JSON

STATE_FIELDS = ("state", "state_reason", "paused_until")
"""The columns of an entry about a pause or its end."""


class TaskChange(models.Model):
    """A change of a task.

    There is no foreign key: it would slow down the deletion of tasks. A heartbeat deletes the
    entries of deleted tasks.

    Attributes:
        kind: the kind of author.
        by: the name of the person; empty if there is none, or it is unknown.
        fields: by column, the values before and after, as JSON. Empty for a column whose values
            are too long.
    """

    task_id = models.BigIntegerField()
    changed_at = MomentField()
    kind = models.CharField(max_length=20, choices=ChangedBy)
    by = ReasonField(max_length=255, default="")
    fields = DataField(default=dict)

    class Meta:
        db_table = "sisy_task_change"
        indexes = [models.Index(fields=["task_id", "-id"], name="sisy_task_change_task")]

    def __str__(self) -> str:
        return f"change {self.pk} of task {self.task_id}"


def note_change(
    using: str, task: int, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime
) -> None:
    """Record what has changed of a task, if anything, and delete its oldest entries.

    Args:
        before, after: the same columns with their values, as JSON.
    """
    if changed := _changed(before, after):
        stored = TaskChange.objects.using(using)
        stored.bulk_create([_entry(task, changed, now)])
        of_task = stored.filter(task_id=task).order_by("-pk")
        # By key: a range would also lock the gap to the entries of the next task on MariaDB.
        surplus = list(of_task.values_list("pk", flat=True)[MAX_KEPT : MAX_KEPT + PRUNE_BATCH])
        if surplus:
            stored.filter(pk__in=surplus).delete()


def note_ended_pauses(
    using: str,
    tasks: Collection[tuple[int, Mapping[str, Any]]],
    after: Mapping[str, Any],
    now: datetime,
) -> None:
    """Record that pauses have ended, in one statement.

    Args:
        tasks: the keys of the tasks, each with its `states_of` during the pause.
        after: these columns after it.
    """
    # The oldest entries stay until the next change: such an entry follows that of a pause.
    with changed_by(ChangedBy.HEARTBEAT):
        entries = [_entry(pk, _changed(before, after), now) for pk, before in tasks]
    TaskChange.objects.using(using).bulk_create(entries)


def states_of(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `STATE_FIELDS` among some columns, as JSON."""
    until = columns["paused_until"]
    return {
        "state": str(columns["state"]),
        "state_reason": columns["state_reason"],
        "paused_until": None if until is None else until.isoformat(),
    }


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        name: _short(before[name], after[name]) for name in after if before[name] != after[name]
    }


def _short(before: Any, after: Any) -> list[Any]:
    both = [before, after]
    return both if len(written(both, on_lines=False)) <= MAX_LENGTH else []


def _entry(task: int, changed: Mapping[str, Any], now: datetime) -> TaskChange:
    by = author()
    return TaskChange(task_id=task, changed_at=now, kind=by.kind, by=by.name, fields=dict(changed))
