"""Writes down how runs ended."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from django.db import transaction

from sisy.execution import Outcome, storable
from sisy.lifecycle.finish import finish
from sisy.lifecycle.lose import lose
from sisy.lifecycle.retry import may_retry, queue_retry
from sisy.models import Run, RunState, Task
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.log import logger
from sisy.store.isolation import isolating, past_deadlocks
from sisy.store.outcomes import Ended, any_retired
from sisy.worker.orphaned import set_orphans_aside
from sisy.worker.unresolved import is_to_be_released, release_unresolved


def record(using: str, ended: Ended, now: datetime) -> None:
    """Store the outcomes of runs that are still their process's, in one transaction.

    A run that was taken from its process meanwhile is left as it is. An outcome that the database
    refuses is stored without what it may refuse, and keeps none of the others waiting.
    """

    def one_by_one(error: Exception) -> Ended:
        logger.warning("Could not record many runs at once; recording one by one", exc_info=error)
        return [one for run, outcome in ended for one in _store_one(using, run, outcome, now)]

    checkpoint("finish: nothing recorded")
    stored = isolating(partial(_store, using, ended, now), one_by_one)
    checkpoint("finish: committed")
    _follow_up(using, stored, now)


def _store(using: str, ended: Ended, now: datetime) -> Ended:
    final = [(run, how) for run, how in ended if not _goes_on(run, how)]
    with transaction.atomic(using=using):
        held = finish(using, final)
        checkpoint("finish: outcomes written")
        if len(final) < len(ended):
            held |= _store_others(using, [one for one in ended if _goes_on(*one)], now)
    for run, _ in ended:
        if run.pk not in held:
            logger.warning(
                "Run %s was taken over by another worker; the result of attempt %s is not "
                "recorded",
                run.pk,
                run.attempt,
            )
    return [(run, how) for run, how in ended if run.pk in held]


def _goes_on(run: Run, outcome: Outcome) -> bool:
    """Return whether the end of an attempt need not be the end of the run."""
    return _is_lost(outcome) or outcome.others_may_call_it or may_retry(run, outcome.state)


def _store_others(using: str, ended: Ended, now: datetime) -> set[int]:
    """Let runs be tried again, if that is still wanted."""
    held = set(Run.objects.using(using).held([run for run, _ in ended]).lock())
    ended = [(run, how) for run, how in ended if run.pk in held]
    release_unresolved(using, [one for one in ended if is_to_be_released(*one, now)], now)
    ended = [one for one in ended if not is_to_be_released(*one, now)]
    again = _still_wanted(using, [run for run, how in ended if may_retry(run, how.state)])
    final = [one for one in ended if one[0].pk not in again and not _is_lost(one[1])]
    finish(using, final)
    for run, outcome in ended:
        if _is_lost(outcome):
            lose(Run.objects.using(using).filter(pk=run.pk), outcome.reason, now)
        elif run.pk in again:
            queue_retry(using, run, outcome, now)
    return held


def _is_lost(outcome: Outcome) -> bool:
    return outcome.state == RunState.LOST


def _store_one(using: str, run: Run, outcome: Outcome, now: datetime) -> Ended:

    def without_details(error: Exception) -> Ended:
        logger.error("Could not store the result of run %s in full", run.pk, exc_info=error)
        reason = storable(f"The result could not be stored in full: {error}")[:500]
        return _store(using, [(run, replace(outcome, reason=reason, result=None, error=""))], now)

    return isolating(partial(_store, using, [(run, outcome)], now), without_details)


def _follow_up(using: str, stored: Ended, now: datetime) -> None:
    """Do for tasks what follows from how their runs ended.

    In transactions of its own: who deletes a task locks it before its runs, and would else wait
    for us while we wait for him. What fails here is done at the next run, or at the next beat.
    """
    try:
        past_deadlocks(_note_targets, using, stored, now)
        past_deadlocks(set_orphans_aside, using, stored)
        checkpoint("retire: task not deleted")
        past_deadlocks(_delete_ended, using, [run for run, _ in stored])
        checkpoint("retire: task deleted")
    except Exception as error:  # noqa: BLE001 - the outcomes are stored already
        logger.warning(
            "Could not clean up after finished runs (%s); a heartbeat will do it", error
        )


def _still_wanted(using: str, runs: Sequence[Run]) -> set[int]:
    """Return the keys of those whose task is still there, and of which nobody wants the end."""
    found = Run.objects.using(using).filter(pk__in=[run.pk for run in runs])
    wanted = found.filter(task__isnull=False, cancel_requested_at=None)
    return set(wanted.values_list("pk", flat=True)) if runs else set()


def _note_targets(using: str, ended: Ended, now: datetime) -> None:
    """Show at the task whether what it calls can no longer be called, so that a person sees it."""
    for run, outcome in ended:
        if run.task is None or is_to_be_released(run, outcome, now):
            continue
        seen = run.task.target_error
        found = outcome.reason if outcome.target_is_broken else ""
        if seen != found:
            Task.objects.using(using).filter(pk=run.task.pk).update(target_error=found)


def _delete_ended(using: str, runs: Sequence[Run]) -> None:
    pks = list({run.task_id for run in runs if run.task_id is not None})
    # Asked before, since the next step costs more, also if it finds nothing.
    if any_retired(using, pks):
        Task.objects.using(using).filter(pk__in=pks).delete_ended()
