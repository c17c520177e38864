"""People who edit tasks while heartbeats tick: neither side undoes what the other one wrote."""

from functools import partial

import pytest
from django.db import transaction

from sisy.heartbeat import tick
from sisy.models import Run, RunState, Task, TaskState
from tests.concurrency.threads import (
    BEFORE_IT_LOCKS,
    BEFORE_IT_WRITES_TASKS,
    at_once,
    in_the_middle,
)
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]


def saving(**columns):
    """Return an edit by ``save()``, of a copy of the task that was read long before."""

    def edit(task):
        for name, value in columns.items():
            setattr(task, name, value)
        task.save()

    return edit


def updating(**columns):
    return lambda task: Task.objects.filter(pk=task.pk).update(**columns)


def dues(task=None):
    runs = Run.objects.all() if task is None else task.runs.all()
    return list(runs.order_by("task", "due_at").values_list("due_at", flat=True))


PLANNED = {
    "planned_until": NOON + MINUTE,
    "last_run": NOON + MINUTE,
    "runs_planned": 1,
    "next_run": NOON + 2 * MINUTE,
    "state": TaskState.ACTIVE,
}
HALF_HOURLY = PLANNED | {"schedule": "*/30 * * * *", "next_run": NOON + HOUR / 2}
EDITS = {
    "label": (saving(label="new"), PLANNED | {"label": "new"}),
    "userdata": (saving(userdata={"n": 1}), PLANNED | {"userdata": {"n": 1}}),
    "iterations": (saving(iterations=9), PLANNED | {"iterations": 9}),
    "schedule": (saving(schedule="*/30 * * * *"), HALF_HOURLY),
    "schedule by update": (updating(schedule="*/30 * * * *"), HALF_HOURLY),
    "timezone": (saving(timezone="Asia/Kathmandu"), PLANNED | {"timezone": "Asia/Kathmandu"}),
    "start": (saving(start_running=NOON + HOUR), PLANNED | {"next_run": NOON + HOUR}),
    "end": (
        saving(end_running=NOON + 2 * MINUTE),
        PLANNED | {"state": TaskState.RETIRED, "next_run": None},
    ),
    "pause": (
        lambda task: task.pause("holidays"),
        PLANNED | {"state": TaskState.PAUSED, "state_reason": "holidays", "next_run": None},
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_during_a_tick_and_the_planned_runs_both_survive(now, edit):
    task, other = scheduled(), scheduled()
    change, expected = EDITS[edit]
    now.moment = NOON + MINUTE
    ticking = partial(tick, "default", NOON + MINUTE)
    in_the_middle(ticking, partial(change, stored(task)), BEFORE_IT_WRITES_TASKS)
    tick("default", NOON + MINUTE + SECOND)
    kept = stored(task)
    assert {name: getattr(kept, name) for name in expected} == expected
    assert {name: getattr(stored(other), name) for name in PLANNED} == PLANNED
    assert dues() == [NOON + MINUTE] * 2


@pytest.mark.parametrize("edit", ["schedule", "schedule by update", "start", "pause"])
def test_a_tick_sees_an_edit_made_just_before_it_locks_the_task(now, edit):
    task, other = scheduled(), scheduled()
    change, expected = EDITS[edit]
    now.moment = NOON + MINUTE
    ticking = partial(tick, "default", NOON + MINUTE)
    in_the_middle(ticking, partial(change, stored(task)), BEFORE_IT_LOCKS)
    tick("default", NOON + MINUTE + SECOND)
    kept = stored(task)
    assert dues(task) == [NOON + MINUTE]
    if task.runs.get().state == RunState.MISSED:  # the edit came first
        expected = expected | {"last_run": None, "runs_planned": 0}
    assert {name: getattr(kept, name) for name in expected} == expected
    assert dues(other) == [NOON + MINUTE]


def test_changing_iterations_just_before_a_tick_loses_no_due_occurrence(now):
    task = scheduled()
    now.moment = NOON + MINUTE
    saving(iterations=9)(stored(task))
    tick("default", NOON + MINUTE)
    assert dues(task) == [NOON + MINUTE]


def test_a_paused_task_is_planned_no_more_whatever_ticked_in_the_meantime(now):
    for n in range(1, 11):
        now.moment = NOON + n * MINUTE
        task = scheduled("* * * * * *")
        _, paused, _ = at_once(
            partial(tick, "default", now.moment + SECOND),
            partial(stored(task).pause, "holidays"),
            partial(tick, "default", now.moment + SECOND),
        )
        planned = dues(task)
        tick("default", now.moment + 2 * SECOND)
        kept = stored(task)
        assert paused
        assert dues(task) == planned
        assert (kept.state, kept.state_reason, kept.next_run) == (
            TaskState.PAUSED,
            "holidays",
            None,
        )


def test_a_pause_survives_a_concurrent_change_of_the_schedule(now):
    for n in range(1, 11):
        now.moment = NOON + n * MINUTE
        task = scheduled("* * * * * *")
        paused, *_ = at_once(
            partial(stored(task).pause, "holidays"),
            partial(saving(schedule="*/30 * * * *"), stored(task)),
            partial(updating(timezone="Asia/Kathmandu"), task),
            partial(tick, "default", now.moment),
        )
        saving(timezone="Europe/London")(task)
        tick("default", now.moment)
        kept = stored(task)
        assert paused
        assert (kept.state, kept.next_run) == (TaskState.PAUSED, None)
        assert (kept.schedule, kept.timezone) == ("*/30 * * * *", "Europe/London")


def test_a_pause_survives_concurrent_replanning(now):
    task = scheduled()
    updating(schedule="*/30 * * * *")(task)
    now.moment = NOON + SECOND
    ticking = partial(tick, "default", now.moment)
    _, paused = in_the_middle(ticking, stored(task).pause, BEFORE_IT_WRITES_TASKS)
    assert paused
    assert (stored(task).state, stored(task).next_run) == (TaskState.PAUSED, None)


def test_a_tick_that_read_the_clock_before_an_update_plans_nothing_earlier(now):
    """A heartbeat was held up, or frozen, after it had read the clock."""
    task = scheduled("0 * * * *")
    now.moment = NOON + 10 * MINUTE + 30 * SECOND
    updating(schedule="* * * * *")(task)
    tick("default", NOON + 50 * SECOND)
    assert stored(task).next_run == NOON + 11 * MINUTE


def test_a_resumed_task_is_planned_from_then_on_whatever_ticked_meanwhile(now):
    for n in range(1, 11):
        now.moment = NOON + n * MINUTE
        task = scheduled("* * * * * *")
        task.pause()
        now.moment += 10 * SECOND
        *_, resumed = at_once(
            partial(tick, "default", now.moment + SECOND),
            partial(tick, "default", now.moment + SECOND),
            stored(task).resume,
        )
        tick("default", now.moment + 2 * SECOND)
        assert resumed
        assert dues(task) == [now.moment + SECOND, now.moment + 2 * SECOND]


def test_a_save_rolled_back_during_a_tick_keeps_what_the_tick_wrote(now):
    task = scheduled()

    def save_and_roll_back():
        with transaction.atomic():
            saving(schedule="*/30 * * * *")(stored(task))
            transaction.set_rollback(True)

    now.moment = NOON + MINUTE
    step = partial(tick, "default", NOON + MINUTE)
    in_the_middle(step, save_and_roll_back, BEFORE_IT_WRITES_TASKS)
    assert {name: getattr(stored(task), name) for name in PLANNED} == PLANNED
    assert stored(task).schedule == "* * * * *"
