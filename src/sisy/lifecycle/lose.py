"""Take runs from workers that died: queue them again, or end them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F
from django.utils.translation import ngettext

from sisy import conf, signals
from sisy.lifecycle.transition import QUEUED_AGAIN, Transition, attempt_of, ready_again, send
from sisy.records.choices import OnLost, RunState
from sisy.records.run import R, RunRecord
from sisy.store.run_queries import RunRows, all_runs

AGAIN = "the run was queued again"


def lose(runs: RunRows[R], reason: str, now: datetime) -> tuple[list[R], list[R]]:
    """Queue those of ``runs`` that are running again, or end them.

    Call it in the transaction in which `RunQuerySet.lock` returned their keys, so that their
    worker, if it is alive after all, does not finish them in the meantime.

    Args:
        reason: what happened to their worker, as a sentence without its full stop.

    Returns:
        Those that are queued again, and those that have ended.
    """
    lost = list(runs.running().select_related("task", "process"))
    again: list[R] = []
    ended: dict[tuple[RunState, str], list[R]] = {}
    for run in lost:
        end = _end(run)
        if end is None:
            again.append(run)
        else:
            ended.setdefault(end, []).append(run)
    if again:
        _queue_again(all_runs(runs), again, reason, now)
    for (state, why), these in ended.items():
        columns = {"state": state, "finished_at": now, "reason": _joined(reason, why)}
        _apply(all_runs(runs), these, columns)
    send(signals.run_lost, lost, runs.db)
    return again, [run for these in ended.values() for run in these]


def _queue_again(rows: RunRows[R], runs: Sequence[R], reason: str, now: datetime) -> None:
    """Queue runs for their next attempt, and keep a record of this one."""
    attempts = [
        attempt_of(
            run,
            state=RunState.LOST,
            reason=_joined(reason),
            # A run that was started ahead of its moment may be lost before it.
            started_at=min(run.started_at, now) if run.started_at else None,
            finished_at=now,
        )
        for run in runs
    ]
    type(attempts[0])._default_manager.using(rows.db).bulk_create(attempts)
    columns = {**QUEUED_AGAIN, "process": None, "reason": _joined(reason, AGAIN)}
    _apply(rows, runs, columns, ready_at=ready_again(now, F("ready_at")))
    stored = rows.filter(pk__in=[run.pk for run in runs]).values_list("pk", "ready_at")
    ready_at = dict(stored)
    for run in runs:
        run.ready_at = ready_at[run.pk]


def _apply(
    rows: RunRows[R], runs: Sequence[R], columns: Mapping[str, Any], **computed: Any
) -> None:
    """Write columns to the rows that still belong to their worker, and set them on the objects."""
    change = Transition(columns, add={"times_lost": 1})
    change.write(rows.held(runs), **computed)
    change.note(runs)


def _end(run: RunRecord) -> tuple[RunState, str] | None:
    """Return the state in which a lost run ends, and why; None if it runs again."""
    if run.cancel_requested_at is not None:
        return (
            RunState.CANCELLED,
            run.cancel_reason or "its cancellation had already been requested",
        )
    if run.task is None:
        return RunState.LOST, "the run is not rerun, because its task was deleted"
    if run.task.on_lost == OnLost.FAIL:
        return RunState.LOST, 'the run is not rerun (on_lost="fail")'
    if run.times_lost >= conf.get_settings().lost_limit:
        times = run.times_lost + 1
        return (
            RunState.LOST,
            ngettext("the run was lost once", "the run was lost %d times", times).replace(
                "%d", str(times)
            )
            + ", more often than SISY_LOST_LIMIT allows",
        )
    return None


def _joined(reason: str, why: str = "") -> str:
    """Join two reasons into a text that fits the column. Only the first one is cut."""
    # The reason that a person gave for cancelling is usually a sentence.
    joint = ". " if why[:1].isupper() else "; "
    tail = f"{joint}{why.rstrip('.')}." if why else "."
    return reason[: 500 - len(tail)] + tail
