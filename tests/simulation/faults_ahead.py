"""Sisy with one of the guards of planning and starting ahead taken away; see `faults`."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from textwrap import dedent
from typing import Any
from unittest import mock

from django.db.models import Q

from sisy.heartbeat import clock_rollback, plan, plan_ahead
from sisy.lifecycle import release, withdraw
from sisy.models import task, task_queries
from sisy.planning import activation, timing
from sisy.store import due
from sisy.store.statements import Statement
from sisy.worker import early_claim
from sisy.worker.early_claim import StartTimers


@contextmanager
def altered(function: Callable[..., Any], old: str, new: str) -> Iterator[None]:
    """Let a function of Sisy be another one: instead of ``old``, its source has ``new``."""
    source = dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__} no longer has this once: {old}"
    made: dict[str, Any] = {}
    exec(source.replace(old, new), function.__globals__, made)
    code = function.__code__
    function.__code__ = made[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = code


def _nothing_withdrawn(module: Any, name: str = "withdraw") -> Any:
    return mock.patch.object(module, name, return_value=0)


def nothing_withdrawn_by_save():
    return _nothing_withdrawn(task)


def nothing_withdrawn_by_update():
    return _nothing_withdrawn(task_queries, "withdraw_outdated")


def nothing_withdrawn_by_pause():
    return _nothing_withdrawn(activation)


def nothing_withdrawn_by_deletion():
    return _nothing_withdrawn(task_queries)


def no_count_given_back():
    given_back = 'add={"runs_planned": [-len(moments[task.pk]) for task in chosen]},'
    return altered(withdraw._take_back, given_back, "")


def no_mark_set_back():
    mark = "_planned_until(task, moments[task.pk], now) for task in chosen"
    return altered(withdraw._take_back, mark, "task.planned_until for task in chosen")


def mark_set_back_too_little():
    """Let a task be planned up to the first withdrawn run, also by another schedule."""
    mark = "min(now, just_before(withdrawn[0]))"
    return altered(withdraw._planned_until, mark, "just_before(withdrawn[0])")


def no_next_moment_set_back():
    moment = "due if task.state == TaskState.ACTIVE and task.next_run else task.next_run"
    return altered(withdraw._take_back, moment, "task.next_run")


@contextmanager
def due_runs_withdrawn():
    """Let an edit also withdraw what was planned ahead and has fallen due since."""
    with (
        altered(withdraw._withdraw_batch, "attempt=0, due_at__gt=now", "attempt=0"),
        mock.patch.object(withdraw, "planned_ahead", return_value=Q(is_ahead=True)),
    ):
        yield


@contextmanager
def change_of_priority_overlooked():
    seen = "OR sisy_task.queue <> sisy_run.queue OR sisy_task.priority <> sisy_run.priority"
    assert due.OUTDATED.count(seen) == 1
    text = due.OUTDATED.replace(seen, "OR sisy_task.queue <> sisy_run.queue")
    of_tasks = Statement(f"{text} AND entry.task_id {{in_tasks}}")
    with (
        mock.patch.object(due, "ALL_OUTDATED", Statement(text)),
        mock.patch.object(due, "OUTDATED_OF_TASKS", of_tasks),
    ):
        yield


@contextmanager
def retired_when_planned_ahead():
    """Let a task retire when its last occurrence is planned, and not when that is due."""

    def to_the_end(using, plans):
        plan.advance(using, [(task, _ended(task, what)) for task, what in plans])

    with mock.patch.object(plan_ahead, "advance", to_the_end):
        yield


def _ended(task: Any, what: Any) -> Any:
    is_last = what.next_run == what.planned_until
    return replace(what, next_run=None) if is_last else what


def last_occurrence_forgotten():
    """Let a heartbeat plan once more, when it is due, what was planned ahead as the last one."""
    return altered(timing.next_unplanned, "due <= planned", "False")


def retired_by_edits_before_the_last_occurrence():
    return altered(activation.start_of, "timing.ahead_until(task, since)", "None")


def called_at_the_likely_moment():
    """Let timers trust a reading of the clock, which may be a little fast."""
    return altered(StartTimers.call_at_its_moment, "clock.earliest(", "clock.last_known(")


def started_ahead_beside_others():
    decides = "if run.task_id not in exclusive or run.task_id in taken:"
    return altered(early_claim._independent, decides, "if False:")


def released_without_its_moment():
    return altered(release.release, '"ready_at": ready_again(now, now)', '"ready_at": now')


def planned_ahead_made_ready_when_the_clock_is_set_back():
    delayed = "filter(condition, ready_at__gt=now)"
    return altered(clock_rollback._not_ready, delayed, "filter(ready_at__gt=now)")


def nothing_withdrawn_when_the_clock_is_set_back():
    return _nothing_withdrawn(clock_rollback)
