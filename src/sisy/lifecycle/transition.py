"""The one way to change runs: write rows, update the objects, send a signal after the commit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import DataError
from django.db.models import Case, F, Model, QuerySet, Value, When

from sisy.records.choices import RunState
from sisy.records.fields import MomentField
from sisy.records.run import R, RunRecord
from sisy.runtime import signal_dispatch
from sisy.store.run_queries import RunRows

LONGEST_LEAD = timedelta(milliseconds=100)
"""Workers start runs up to this time before they are ready, and call them when they are."""

QUEUED_AGAIN: Mapping[str, Any] = {
    "state": RunState.QUEUED,
    "started_at": None,
    "dispatched_at": None,
    "unresolved_since": None,
}
"""The columns of a run that is queued for its next attempt. Its process is cleared as well."""


def ready_again(now: datetime, otherwise: datetime | F) -> Case:
    """Return when runs that had started become ready again, as an expression.

    A run that was started ahead of its moment becomes ready at that moment.

    Args:
        otherwise: when other runs become ready.
    """
    was_early = When(ready_at__gt=now, started_at=F("ready_at"), then=F("ready_at"))
    # It was ready when it started, so the clock was set back.
    is_wrong = When(ready_at__gt=now, then=Value(now, MomentField()))
    last = otherwise if isinstance(otherwise, F) else Value(otherwise, MomentField())
    return Case(was_early, is_wrong, default=last)


@dataclass(frozen=True, slots=True)
class Transition:
    """The values that a transition writes.

    Attributes:
        columns: the values to set, by column.
        add: the numbers to add, by column.
    """

    columns: Mapping[str, Any]
    add: Mapping[str, int] = field(default_factory=dict)

    def write(self, rows: QuerySet[Any], **computed: Any) -> int:
        """Update rows in one statement, and return their number.

        Args:
            computed: expressions for further columns, which the database computes.
        """
        added = {name: F(name) + number for name, number in self.add.items()}
        # In MySQL, an assignment sees what earlier ones have set.
        return rows.update(**computed, **self.columns, **added)

    def note(self, records: Iterable[Model]) -> None:
        """Set on objects the values that `write` wrote to their rows."""
        for record in records:
            for name, value in self.columns.items():
                setattr(record, name, value)
            for name, number in self.add.items():
                setattr(record, name, getattr(record, name) + number)


def attempt_of(run: RunRecord, **columns: Any) -> Model:
    """Return an unsaved record of the attempt that ``run`` has just made."""
    meta: Any = type(run)._meta
    return cast("Model", meta.get_field("attempts").related_model.of(run, **columns))


def send(
    signal: signal_dispatch.ContainedSignal,
    runs: Iterable[RunRecord],
    using: str,
    exceptions: Mapping[int, BaseException | None] | None = None,
) -> None:
    """Send a signal for each run when the transaction is committed.

    What belongs to the same transaction is written now; see `ContainedSignal.of_transactions`.

    Args:
        exceptions: what the functions of the runs raised, by the keys of the runs; sent along.
    """
    listed = list(runs)
    if listed:
        for store in signal.of_transactions:
            store(using, listed)
        sender = type(listed[0])._meta.concrete_model
        news: list[dict[str, Any]]
        if exceptions is None:
            news = [{"run": run} for run in listed]
        else:
            news = [{"run": run, "exception": exceptions[run.id]} for run in listed]
        signal_dispatch.send_on_commit(signal, cast("type", sender), news, using)


def send_for_rows(signal: signal_dispatch.ContainedSignal, rows: RunRows[Any]) -> None:
    """Send a signal for each row, as it is now, when the transaction is committed.

    A row that cannot be read sends no signal.
    """
    send(signal, readable(rows.select_related("task")), rows.db)


def readable(rows: RunRows[R]) -> list[R]:
    """Return the runs whose rows can be read; one that cannot does not affect the others."""
    try:
        return list(rows)
    except (ValueError, TypeError, ArithmeticError, DataError):
        alone = [rows.filter(pk=pk) for pk in rows.values_list("pk", flat=True)]
        return [run for row in alone for run in readable(row)] if len(alone) > 1 else []
