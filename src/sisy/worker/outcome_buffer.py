"""Record outcomes: in batches, or a single one at once, and what follows for their tasks."""

from collections.abc import Callable, Sequence, Sized
from dataclasses import replace
from datetime import datetime
from functools import partial

from django.db import transaction

from sisy import clock
from sisy.exceptions import ObjectMissing
from sisy.execution import Outcome, storable
from sisy.lifecycle.finish import finish
from sisy.lifecycle.lose import lose
from sisy.lifecycle.retry import may_retry, queue_retry
from sisy.models import Run, RunState, Task, TaskState
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.log import log_named, logger
from sisy.runtime.loop import Loop, pause
from sisy.store.database_thread import DatabaseThread
from sisy.store.isolation import isolating, past_deadlocks
from sisy.store.outcomes import Ended, any_retired
from sisy.worker.missing_code import is_to_be_released, release_unresolved

tasks = log_named("sisy.tasks")

FAILURES = 3  # in a row
MAX_RUNS_READ = 50  # the newest runs of a task; those that never started are ignored
BEGUN = (RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)
OBJECT_MISSING = f"{ObjectMissing.__module__}.{ObjectMissing.__qualname__}"
REASON = (
    f"The task calls a method of an object that was deleted, so its last {FAILURES} runs failed. "
    "Delete the task, give it another target, or restore the object and resume the task."
)


def set_orphans_aside(using: str, ended: Ended) -> None:
    """Mark the tasks of these runs as broken if their object is gone for good."""
    for run, outcome in ended:
        if outcome.error_class != OBJECT_MISSING or run.task is None:
            continue
        task = Task.objects.using(using).filter(pk=run.task.pk, state=TaskState.ACTIVE)
        if _has_failed_for_good(using, run.task.pk) and task.update(
            state=TaskState.BROKEN, state_reason=REASON, next_run=None
        ):
            tasks.error("%s is broken: %s", run.task, REASON, extra={"task": run.task.pk})


def _has_failed_for_good(using: str, task: int) -> bool:
    newest = Run.objects.using(using).filter(task=task).order_by("-pk")
    rows = newest.values_list("state", "error_class")[:MAX_RUNS_READ]
    last = [error for state, error in rows if state in BEGUN][:FAILURES]
    return last == [OBJECT_MISSING] * FAILURES


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


FLUSH_BATCH = 500
FLUSH_INTERVAL = 0.005  # seconds to wait for more outcomes to record in the same transaction
IDLE = 60.0


class OutcomeBuffer:
    """Records outcomes when a batch is full, no run is in flight, or a few milliseconds passed.

    Args:
        database: the thread in which to record.
        in_flight: the runs in flight; only their number is used.
        recorded: called with each batch that was recorded.
    """

    def __init__(
        self,
        using: str,
        database: DatabaseThread,
        in_flight: Sized,
        recorded: Callable[[Ended], None],
    ) -> None:
        self._using = using
        self._database = database
        self._in_flight = in_flight
        self._recorded = recorded
        self._ended: list[tuple[Run, Outcome]] = []
        self._loop = Loop("Recording outcomes", self._record)

    async def run(self) -> None:
        """Record outcomes until `stop` is called."""
        await self._loop.run()

    def stop(self) -> None:
        """Stop the loop. Call `flush` to record the outcomes that are left."""
        self._loop.stop()

    def add(self, ended: Ended) -> None:
        """Add outcomes to record soon."""
        self._ended += ended
        self._loop.wake()

    @property
    def unrecorded(self) -> set[int]:
        """The keys of the runs that have finished but are not recorded yet."""
        return {run.pk for run, _ in list(self._ended)}

    async def flush(self) -> None:
        """Record all outcomes.

        Raises:
            DatabaseError: recording failed. The outcomes are kept; call again to retry.
        """
        # Remove a batch only once it is stored. More outcomes may be added meanwhile.
        while self._ended:
            ended = self._ended[:FLUSH_BATCH]
            await self._database.run(self._record_here, ended)
            del self._ended[: len(ended)]
            self._recorded(ended)

    async def _record(self) -> float:
        if self._ended:
            # Only other running runs can add outcomes. If there are none, waiting gains nothing.
            if len(self._in_flight) and len(self._ended) < FLUSH_BATCH:
                await pause(FLUSH_INTERVAL)
            await self.flush()
        return IDLE

    def _record_here(self, ended: Ended) -> None:
        record(self._using, ended, clock.now(self._using))
