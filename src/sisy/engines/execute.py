"""Execute a run in a process of another engine, with a lease as in a worker."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial

from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connections,
    router,
)

from sisy import clock
from sisy.execution.async_call import AsyncCall
from sisy.execution.call import AwaitableResult
from sisy.execution.inline import call_inline
from sisy.execution.run_handle import RunHandle, ignore_outcome
from sisy.lifecycle.release import release
from sisy.models import Process, QueuedRun, Role, Run, RunningRun, RunState
from sisy.models.lease import Lease
from sisy.records.outcome import Outcome
from sisy.runtime.capture import capturing
from sisy.runtime.log import logger
from sisy.runtime.loop import retry_until_success
from sisy.store.isolation import past_bad_rows, past_deadlocks
from sisy.worker.cancellation import TAKEN_OVER
from sisy.worker.claim import claim_one
from sisy.worker.output import output_flusher
from sisy.worker.record import record
from sisy.worker.unreadable_runs import reject_unreadable_of

DATABASE_ERRORS = (OperationalError, InterfaceError)
RELEASE_DELAY = timedelta(seconds=5)  # until a run that could not start is sent again
WATCHED = (
    "process_id",
    "attempt",
    "state",
    "cancel_requested_at",
    "cancel_reason",
    "cancel_force",
)
SENT_AT_ONCE = 1000  # runs
CHECK_INTERVAL = 1.0  # seconds between two checks for a request to cancel the run


def execute_dispatched(pk: int) -> None:
    """Execute the run with this key, unless it has finished, is claimed, or must not start now.

    The outcome is recorded on the run. Nothing is raised, so that the engine does not retry.
    """
    using = router.db_for_write(Run)
    if connections[using].in_atomic_block:  # in a test
        _execute(pk, using)
        return
    close_old_connections()
    try:
        _execute(pk, using)
    finally:
        close_old_connections()


def _execute(pk: int, using: str) -> None:
    queued = Run.objects.using(using).queued().filter(pk=pk).values_list("task_id", flat=True)
    task = queued.first()
    if task is None:
        return
    lease = Lease(Role.ENGINE, using, slots=1)
    process = past_deadlocks(lease.process)
    try:
        run = _claim(process, pk, task)
        if run is None:
            past_deadlocks(_send_again, using, pk)
        else:
            _execute_claimed(run, lease, using)
            past_deadlocks(_send_others, using, run)
    finally:
        lease.end()


def _claim(process: Process, pk: int, task: int) -> Run | None:
    """Claim the run, and pass over other runs of its task that cannot be read."""
    using = process.using
    now = clock.now(using)
    entries = QueuedRun.objects.using(using).filter(task_id=task)
    claim = partial(past_deadlocks, claim_one, process, pk, now)
    return past_bad_rows(claim, partial(reject_unreadable_of, entries, now))


def _execute_claimed(run: Run, lease: Lease, using: str) -> None:
    """Call the function and record its outcome, however long the database is unavailable."""
    flusher = output_flusher(using)
    handle = RunHandle(run, lambda: clock.last_known(using), ignore_outcome, noted=flusher.note)
    handle.begin()
    with ExitStack() as keeping:
        keeping.callback(flusher.close)
        try:
            keeping.enter_context(_kept(handle, lease, using))
        except RuntimeError as error:  # the system cannot start a thread
            past_deadlocks(_release, using, run, f"Could not start a thread: {error}.")
            return
        with capturing():
            outcome = call_inline(handle, _within_limit)
        what = f"Recording the outcome of run {run.pk}"
        retry_until_success(what, partial(_record, using, run, outcome), DATABASE_ERRORS)


def _release(using: str, run: Run, reason: str) -> None:
    """Release the run, so that it is sent again soon; the attempt does not count."""
    now = clock.now(using)
    logger.error("Released run %s: %s", run.pk, reason)
    release(using, [run], reason, now, ready_at=now + RELEASE_DELAY)


def _record(using: str, run: Run, outcome: Outcome) -> None:
    try:
        past_deadlocks(record, using, [(run, outcome)], clock.now(using))
    except DATABASE_ERRORS:
        connections[using].close()  # it may have broken while the function ran
        raise


async def _within_limit(handle: RunHandle, pending: AwaitableResult) -> Outcome:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def end(outcome: Outcome) -> None:
        loop.call_soon_threadsafe(ended.set_result, outcome)

    AsyncCall(pending, handle, end)
    outcome: Outcome = await ended
    return outcome


@contextmanager
def _kept(handle: RunHandle, lease: Lease, using: str) -> Iterator[None]:
    """Renew the lease while a run is running, and watch for requests to cancel it."""
    is_over = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(handle, lease, using, is_over), name="sisy-engine-lease", daemon=True
    )
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()


def _keep(handle: RunHandle, lease: Lease, using: str, is_over: threading.Event) -> None:
    try:
        while not is_over.wait(CHECK_INTERVAL):
            try:
                lease.keep()
                _check_cancel_request(handle, using)
            except Exception as error:  # noqa: BLE001 - the lease must live as long as the run
                logger.warning(
                    "Could not renew the lease for run %s (%s); retrying", handle.run.pk, error
                )
                connections.close_all()
    finally:
        connections.close_all()


def _check_cancel_request(handle: RunHandle, using: str) -> None:
    """Stop the run if a user wants to cancel it, or if another process has taken it over."""
    run = handle.run
    row = Run.objects.using(using).filter(pk=run.pk).values_list(*WATCHED).first()
    if row is None:
        return
    process, attempt, state, *request = row
    is_own = (process, attempt) == (run.process_id, run.attempt)
    if is_own and state not in (RunState.RUNNING, RunState.LOST):
        return  # its outcome was recorded just now
    is_held = is_own and state == RunState.RUNNING
    asked_at, reason, by_force = request if is_held else TAKEN_OVER
    if asked_at is not None:
        handle.cancel(reason, by_force)


def _send_again(using: str, pk: int) -> None:
    """Request that a run that could not be claimed is sent again, unless it must wait."""
    # If another run of its task is running, `_send_others` requests this when that run ends. If
    # none is, the claim lost a race, and the run would only be sent again after a lease.
    queued = Run.objects.using(using).queued().filter(pk=pk)
    task = queued.values_list("task_id", flat=True).first()
    if task is not None and not _is_any_running(using, task):
        queued.update(dispatched_at=None)


def _send_others(using: str, run: Run) -> None:
    """Request that the runs that are queued behind this one are sent again."""
    assert run.task_id is not None
    others = QueuedRun.objects.filter(task_id=run.task_id, engine__gt="")
    # By key: MariaDB would read the whole ledger to update the rows that a subquery selects.
    pks = list(others.using(using).values_list("run_id", flat=True))
    for start in range(0, len(pks), SENT_AT_ONCE):
        some = Run.objects.using(using).filter(pk__in=pks[start : start + SENT_AT_ONCE])
        some.filter(state=RunState.QUEUED).update(dispatched_at=None)


def _is_any_running(using: str, task: int) -> bool:
    return RunningRun.objects.using(using).filter(task_id=task).exists()
