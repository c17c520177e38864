"""Submit runs: store them, wake workers, and execute them here if ``SISY_EAGER`` is on.

==================  ================================  =====================================
function            stores                            also
==================  ================================  =====================================
store_occurrences   planned and missed occurrences
store               requested runs                    rings, unless ``SISY_EAGER`` is on
submit              requested runs                    rings or executes eagerly
store_once          a new task and its runs           rings, unless ``SISY_EAGER`` is on
submit_once         a new task and its runs           rings or executes eagerly; waits for open
                                                      transactions on other databases
==================  ================================  =====================================
"""

from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from datetime import datetime
from functools import partial
from typing import Any

from django.core.exceptions import AppRegistryNotReady
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy import clock, conf, signals
from sisy.lifecycle.task_state import prepare_insert
from sisy.lifecycle.template import Once
from sisy.lifecycle.transition import send
from sisy.records.alike import Alike
from sisy.records.choices import Origin, RunState
from sisy.records.instances import refer
from sisy.records.run import R, RunRecord
from sisy.records.task import T, TaskRecord
from sisy.records.validators import future_moment
from sisy.runtime import signal_dispatch, tracer
from sisy.runtime.compat import is_of_a_test_case
from sisy.runtime.signal_dispatch import ContainedSignal
from sisy.store.submissions import insert_runs
from sisy.store.task_insertion import can_insert_with_task


def submit(runs: Sequence[R], using: str) -> Sequence[R]:
    """Store requested runs, and return them. Workers are notified after the commit.

    With ``SISY_EAGER``, the runs have been executed: see `execute_if_eager`.
    """
    stored = store(runs, using)
    execute_if_eager(stored, using)
    return stored


def store(runs: Sequence[R], using: str) -> Sequence[R]:
    """Store requested runs in the caller's transaction; call `execute_if_eager` after it.

    Raises:
        ValueError: their task is not saved.
    """
    # Checked here: the error of the database would roll back the caller's transaction as well.
    if runs and runs[0].task_id is None:
        raise ValueError(f"The task {runs[0].label!r} is not saved. Call save() first.")
    stored = _traced(using, partial(insert_runs, using, runs))
    if stored:
        _announce(stored, connections[using])
    return stored


def _traced(using: str, insert: Callable[[], Sequence[R]]) -> Sequence[R]:
    """Insert runs, and note which span submits them if there is a tracer."""
    return insert() if tracer.installed is None else tracer.installed.submit(using, insert)


def store_occurrences(using: str, rows: Sequence[R]) -> tuple[list[R], list[R]]:
    """Store the rows of planned and of missed occurrences in the caller's transaction.

    Returns:
        The queued runs, and the missed ones.
    """
    queued: list[R] = []
    missed: list[R] = []
    for row in insert_runs(using, rows):
        (queued if row.state == RunState.QUEUED else missed).append(row)
    send(signals.run_planned, queued, using)
    send(signals.run_missed, missed, using)
    return queued, missed


def submit_once(once: Once[T], payloads: list[dict[str, Any]], delay_until: datetime | None) -> T:
    """Store a new task and its runs, one for each payload, and return it.

    Raises:
        ValueError: as for `Task.run_once`.
    """
    task = once.task
    using = router.db_for_write(type(task))
    now = clock.now(using)
    ready_at = now if delay_until is None else future_moment(delay_until, "delay_until", now)
    if elsewhere := open_elsewhere(using):
        # Checked now, so that the caller gets the error for an invalid value at once.
        prepare_insert(task, now)
        given = deepcopy(payloads)
        once_committed(lambda: _submit_later(task, given, ready_at, using), using, elsewhere)
    else:
        runs = store_once(once, payloads, now, ready_at, using)
        execute_if_eager(runs, using)
    return task


def _submit_later(
    task: TaskRecord, payloads: list[dict[str, Any]], ready_at: datetime, using: str
) -> None:
    # The caller may have changed the task in the meantime.
    now = clock.now(using)
    runs = _store_checked(task, payloads, now, max(now, ready_at), Origin.ONCE, using)
    execute_if_eager(runs, using)


def store_once(
    once: Once[T], payloads: list[dict[str, Any]], now: datetime, ready_at: datetime, using: str
) -> Sequence[RunRecord]:
    """Store a new task and its runs, one for each payload; call `execute_if_eager` after it.

    Raises:
        ValueError: a column of the task cannot hold its value.
    """
    task, template, connection = once.task, once.template, connections[using]
    # In a transaction, an error of a batch must not break what the caller has done before.
    is_safe = len(payloads) == 1 or not connection.in_atomic_block
    if template is not None and is_safe and can_insert_with_task(connection, task):
        insert = partial(template.store, task, payloads, now, ready_at, connection)
        runs = _traced(using, insert)
        _announce(runs, connection)
        return runs
    return _store_checked(task, payloads, now, ready_at, once.origin, using)


def _store_checked(
    task: TaskRecord,
    payloads: list[dict[str, Any]],
    now: datetime,
    ready_at: datetime,
    origin: Origin,
    using: str,
) -> Sequence[RunRecord]:
    """Check all columns of a new task, and store it and its runs."""
    prepare_insert(task, now)
    run = task.new_run(now=now, origin=origin, ready_at=ready_at, payload=payloads[0])
    with transaction.atomic(using=using):
        task.insert_alone(using)
        refer(run, "task", task)  # the task has a key now
        return store([run] if len(payloads) == 1 else Alike(run, "payload", payloads), using)


def open_elsewhere(using: str) -> list[str]:
    """Return the aliases of the databases other than ``using`` with an open transaction.

    Rolling one of them back would not roll back what is written to ``using``.
    """
    if len(connections.settings) == 1:
        return []
    others = (each for each in connections.all(initialized_only=True) if each.alias != using)
    return [each.alias for each in others if _is_open(each)]


def once_committed(do: Callable[[], None], using: str, elsewhere: Collection[str]) -> None:
    """Call ``do`` when the open transactions in ``using`` and ``elsewhere`` are all committed.

    It is never called if one of them, or a savepoint in it that is open now, is rolled back.
    """
    waited_for = {*elsewhere, *([using] if _is_open(connections[using]) else [])}

    def note(alias: str) -> None:
        waited_for.discard(alias)
        if not waited_for:
            do()

    for alias in sorted(waited_for):
        transaction.on_commit(partial(note, alias), using=alias)


def _is_open(connection: BaseDatabaseWrapper) -> bool:
    # The transaction that Django's test cases open around a test is never committed.
    return connection.in_atomic_block and not all(
        is_of_a_test_case(block) for block in connection.atomic_blocks
    )


def execute_if_eager(runs: Sequence[RunRecord], using: str) -> bool:
    """Execute the runs that can start now, if ``SISY_EAGER`` is on, and update ``runs``.

    Call it outside the transaction that stored them: a worker would start after it, too. Return
    whether it is on.
    """
    is_eager = conf.get_settings().eager
    if is_eager and runs:
        _execute_eagerly(runs, using)
    return is_eager


def set_eager_executor(execute: Callable[[Sequence[Any], str], None]) -> None:
    """Set the function that `execute_if_eager` calls with runs and the alias of their database."""
    # It is in a higher layer, which this one does not import.
    global _execute_eagerly
    _execute_eagerly = execute


def _not_ready(runs: Sequence[RunRecord], using: str) -> None:
    raise AppRegistryNotReady("SISY_EAGER executes runs only after Django's apps are ready.")


_execute_eagerly: Callable[[Sequence[Any], str], None] = _not_ready


def _announce(runs: Sequence[RunRecord], connection: BaseDatabaseWrapper) -> None:
    announce = partial(_send_planned, runs, does_ring=not conf.get_settings().eager)
    connection.on_commit(announce, robust=True)


def _send_planned(runs: Sequence[RunRecord], does_ring: bool) -> None:
    signal, model = signals.run_planned, type(runs[0])
    signal_dispatch.send(signal, model, [{"run": run} for run in _runs_to_send(signal, runs)])
    if does_ring:
        _send_queued(runs)


def ring(runs: Sequence[RunRecord], using: str) -> None:
    """Tell workers that ``runs`` are queued, after the commit."""
    if runs:
        transaction.on_commit(partial(_send_queued, runs), using=using, robust=True)


def _send_queued(runs: Sequence[RunRecord]) -> None:
    signal, model = signals.runs_queued, type(runs[0])
    signal_dispatch.send_here(signal, model, [{"runs": _runs_to_send(signal, runs)}])


def _runs_to_send(signal: ContainedSignal, runs: Sequence[R]) -> list[R]:
    """Return the runs to send a signal about."""
    # Sisy's own receivers look only at what is the same in all runs of a batch.
    if type(runs) is Alike and not signal.has_listeners(type(runs[0])):
        return [runs[0]]
    return list(runs)
