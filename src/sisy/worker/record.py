"""Record outcomes: decide what each one means for its run, and store that."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from functools import partial

from django.db import transaction

from sisy.execution import Outcome, storable
from sisy.lifecycle.finish import finish
from sisy.lifecycle.lose import lose
from sisy.lifecycle.retry import failures, may_retry, queue_retry
from sisy.models import Run, RunState
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.log import logger
from sisy.store.isolation import isolating
from sisy.store.outcomes import Ended, of_last_attempts
from sisy.store.run_output import write_reports
from sisy.worker.follow_up import follow_up
from sisy.worker.missing_code import is_to_be_released, release_unresolved


class Verdict(Enum):
    """The effect of an attempt on its run."""

    FINISH = auto()
    RETRY = auto()
    RELEASE = auto()
    LOSE = auto()


def record(using: str, ended: Ended[Run], now: datetime) -> None:
    """Store the outcomes of runs that are still their process's, in one transaction.

    A run that was taken from its process in the meantime stays as it is. If the database rejects
    an outcome, it is stored without its details, and the others are stored in full.
    """

    def record_each(error: Exception) -> Ended[Run]:
        logger.warning(
            "Could not record a batch of runs; recording them one by one", exc_info=error
        )
        return [one for run, outcome in ended for one in _store_one(using, run, outcome, now)]

    checkpoint("finish: nothing recorded")
    stored = isolating(partial(_store, using, ended, now), record_each)
    checkpoint("finish: committed")
    follow_up(using, stored, now)


def verdict(run: Run, outcome: Outcome, now: datetime) -> Verdict:
    """Return what becomes of a run, unless its task was deleted or a user cancelled it."""
    if outcome.state == RunState.SUCCEEDED:
        return Verdict.FINISH
    if outcome.state == RunState.LOST:
        return Verdict.LOSE
    if is_to_be_released(run, outcome, now):
        return Verdict.RELEASE
    return Verdict.RETRY if may_retry(run, outcome.state) else Verdict.FINISH


def _store(using: str, ended: Ended[Run], now: datetime) -> Ended[Run]:
    """Store outcomes, and return those whose runs were still their process's."""
    verdicts: dict[Verdict, list[tuple[Run, Outcome]]] = defaultdict(list)
    ended = of_last_attempts(ended)
    for run, outcome in ended:
        verdicts[verdict(run, outcome, now)].append((run, outcome))
    final = verdicts.pop(Verdict.FINISH, [])
    with transaction.atomic(using=using):
        held = finish(using, final)
        checkpoint("finish: outcomes written")
        if verdicts:
            held |= _store_unfinished(using, verdicts, now)
        _store_reports(using, ended, held, now)
    for run, _ in ended:
        if run.id not in held:
            logger.warning(
                "Run %s was taken over by another worker; the result of attempt %s is not "
                "recorded",
                run.pk,
                run.attempt,
            )
    return [(run, outcome) for run, outcome in ended if run.id in held]


def _store_reports(using: str, ended: Ended[Run], held: set[int], now: datetime) -> None:
    """Store what the attempts have printed and reported, if they have."""
    reported = [
        (run, outcome.report)
        for run, outcome in ended
        if outcome.report is not None and run.id in held
    ]
    if reported:
        write_reports(using, reported, now)


def _store_unfinished(
    using: str, verdicts: Mapping[Verdict, Ended[Run]], now: datetime
) -> set[int]:
    """Store outcomes after which runs may run again. Return the keys of the runs still held."""
    runs = [run for ended in verdicts.values() for run, _ in ended]
    held = set(Run.objects.using(using).held(runs).lock())

    def still_held(wanted: Verdict) -> Ended[Run]:
        return [(run, outcome) for run, outcome in verdicts.get(wanted, ()) if run.pk in held]

    release_unresolved(using, still_held(Verdict.RELEASE), now)
    retrying = still_held(Verdict.RETRY)
    wanted = _still_wanted(using, [run for run, _ in retrying])
    finish(using, [one for one in retrying if one[0].pk not in wanted])
    for run, outcome in retrying:
        if run.pk in wanted:
            queue_retry(using, run, outcome, now)
    for run, outcome in still_held(Verdict.LOSE):
        lose(Run.objects.using(using).filter(pk=run.pk), outcome.reason, now)
    return held


def _still_wanted(using: str, runs: Sequence[Run]) -> set[int]:
    """Return the keys of the runs whose task still allows a retry, and that no user cancelled."""
    if not runs:
        return set()
    chosen = Run.objects.using(using).filter(pk__in=[run.pk for run in runs])
    wanted = chosen.with_task().filter(cancel_requested_at=None)
    # Read again: the function itself may have saved its task with fewer attempts.
    limits = dict(wanted.values_list("pk", "task__max_attempts"))
    return {run.pk for run in runs if run.pk in limits and failures(run) < limits[run.pk]}


def _store_one(using: str, run: Run, outcome: Outcome, now: datetime) -> Ended[Run]:

    def without_details(error: Exception) -> Ended[Run]:
        logger.error("Could not store the result of run %s in full", run.pk, exc_info=error)
        reason = storable(f"The result could not be stored in full: {error}")[:500]
        bare = replace(outcome, reason=reason, result=None, error="", report=None)
        return _store(using, [(run, bare)], now)

    return isolating(partial(_store, using, [(run, outcome)], now), without_details)
