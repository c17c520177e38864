"""Queue lost runs again, or end them."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Case, F, Value, When
from django.utils.translation import ngettext

from sisy import conf, signals
from sisy.lifecycle.transition import send
from sisy.models.attempt import Attempt
from sisy.models.choices import OnLost, RunState
from sisy.models.fields import MomentField
from sisy.models.run import Run

QUEUED_AGAIN = "the run was queued again"


def settle_lost(
    using: str, pks: Sequence[int], reason: str, now: datetime
) -> tuple[list[Run], list[Run]]:
    """Queue runs that were lost again, or end them; return both.

    Call it in the transaction in which `RunQuerySet.lock` gave their keys, so that their worker,
    if it lives after all, does not end them meanwhile.

    Args:
        reason: what happened to whoever carried them out, as a sentence without its full stop.
    """
    lost = list(Run.objects.using(using).running().filter(pk__in=pks).select_related("task"))
    again: list[Run] = []
    ended: dict[tuple[RunState, str], list[Run]] = {}
    for run in lost:
        end = _end(run)
        if end is None:
            again.append(run)
        else:
            ended.setdefault(end, []).append(run)
    _requeue(using, again, reason, now)
    for (state, why), runs in ended.items():
        Run.objects.using(using).held(runs).update(
            state=state,
            times_lost=F("times_lost") + 1,
            finished_at=now,
            reason=_joined(reason, why),
        )
        _note(runs, state, _joined(reason, why))
    _note(again, RunState.QUEUED, _joined(reason, QUEUED_AGAIN))
    send(signals.run_lost, lost, using)
    return again, [run for runs in ended.values() for run in runs]


def _note(runs: Sequence[Run], state: RunState, reason: str) -> None:
    for run in runs:
        run.state, run.reason = state, reason


def _requeue(using: str, runs: Sequence[Run], reason: str, now: datetime) -> None:
    """Queue runs for their next attempt, and keep what became of this one.

    They were ready when they began; if that lies ahead of now, the clock was set back.
    """
    Attempt.objects.using(using).bulk_create(
        [
            Attempt.of(
                run,
                state=RunState.LOST,
                reason=_joined(reason),
                started_at=run.started_at,
                finished_at=now,
            )
            for run in runs
        ]
    )
    Run.objects.using(using).held(runs).update(
        state=RunState.QUEUED,
        process=None,
        times_lost=F("times_lost") + 1,
        started_at=None,
        dispatched_at=None,
        unresolved_since=None,
        ready_at=Case(
            When(ready_at__gt=now, then=Value(now, MomentField())), default=F("ready_at")
        ),
        reason=_joined(reason, QUEUED_AGAIN),
    )


def _end(run: Run) -> tuple[RunState, str] | None:
    """Return how a lost run ends, and why it is not run again; None if it is."""
    if run.cancel_requested_at is not None:
        return RunState.CANCELLED, run.cancel_reason or "the run had already been asked to stop"
    if run.task is None:
        return RunState.LOST, "the run is not repeated, because its task was deleted"
    if run.task.on_lost == OnLost.FAIL:
        return RunState.LOST, 'the run is not repeated (on_lost="fail")'
    if run.times_lost >= conf.get_settings().lost_limit:
        times = run.times_lost + 1
        return (
            RunState.LOST,
            ngettext("the run was lost once", "the run was lost %d times", times).replace(
                "%d", str(times)
            )
            + " and is not repeated (SISY_LOST_LIMIT)",
        )
    return None


def _joined(reason: str, why: str = "") -> str:
    """Return the two as one sentence that fits its column; what is cut off is the first one."""
    tail = f"; {why.rstrip('.')}." if why else "."
    return reason[: 500 - len(tail)] + tail
