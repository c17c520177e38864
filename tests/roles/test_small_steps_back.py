"""What was planned ahead does not make a step of the clock look larger than it was."""

import pytest

from sisy.heartbeat import tick
from sisy.heartbeat.clock_rollback import MAX_SMALL_STEP, repair
from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.models import Run, Task
from sisy.planning.timing import ON_TIME_TOLERANCE, Timing
from sisy.schedules.calendar import just_before
from tests.support.clocks import clock_at
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

PLANNED = NOON + MINUTE - 1.5 * SECOND


def dues(task):
    return list(Run.objects.filter(task=task).order_by("pk").values_list("due_at", flat=True))


def test_fixed_times_wait_after_a_step_of_almost_three_hours():
    """As by cron(8): only a larger step lets them run again."""
    fixed, starred = scheduled("0-59 0-23 * * *"), scheduled("* * * * *")
    assert plan_ahead("default", PLANNED) == 2
    repair("default", PLANNED - MAX_SMALL_STEP + SECOND)
    assert dues(fixed) == [NOON + MINUTE]
    assert Run.objects.get(task=fixed).ready_at == NOON + MINUTE
    assert dues(starred) == []


def test_a_step_within_the_tolerance_repeats_nothing():
    task = scheduled("* * * * * *")
    for second in range(1, 4):
        tick("default", NOON + second * SECOND)
    plan_ahead("default", NOON + 3.5 * SECOND)
    before = dues(task)
    assert before[-1] == NOON + 5 * SECOND
    repair("default", NOON + 3.5 * SECOND - ON_TIME_TOLERANCE)
    assert dues(task) == before


def test_what_was_planned_ahead_and_then_due_is_ready_now():
    """A later edit must not take it for planned ahead: a paused task would lose it for good."""
    task, other = scheduled("* * * * *"), scheduled("* * * * *")
    assert plan_ahead("default", PLANNED) == 2
    with clock_at(NOON + MINUTE + SECOND):
        task.pause()
    tick("default", NOON + 10 * MINUTE)
    now = NOON - 2 * MAX_SMALL_STEP
    repair("default", now)
    [run] = Run.objects.filter(task=task)
    assert (run.state, run.ready_at) == ("queued", now)
    with clock_at(now + SECOND):
        task.queue = "another"
        task.save()
    assert Run.objects.filter(pk=run.pk).exists()
    assert stored(other).next_run == now + MINUTE


EDITS = {
    "save": lambda task: setattr(task, "schedule", "30 * * * *") or task.save(),
    "save_of_its_queue": lambda task: setattr(task, "queue", "another") or task.save(),
    "update": lambda task: Task.objects.filter(pk=task.pk).update(schedule="30 * * * *"),
    "pause": lambda task: task.pause(),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("schedule", ["* * * * *", "0-59 0-23 * * *"])
def test_an_edit_before_the_repair_keeps_what_was_due(schedule, edit):
    """Heartbeats repair after some seconds, when all processes have read the new time."""
    task = scheduled(schedule)
    assert plan_ahead("default", PLANNED) == 1
    tick("default", NOON + 10 * MINUTE)
    now = NOON + 10 * MINUTE - HOUR
    with clock_at(now):
        EDITS[edit](stored(task))
    repair("default", now + 10 * SECOND)
    run = Run.objects.get(task=task, planned_at=PLANNED)
    assert (run.state, run.ready_at) == ("queued", now + 10 * SECOND)


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_before_the_repair_keeps_nothing_that_was_not_due(edit):
    task = scheduled("* * * * *")
    assert plan_ahead("default", PLANNED) == 1
    now = PLANNED - HOUR
    with clock_at(now):
        EDITS[edit](stored(task))
    repair("default", now + 10 * SECOND)
    assert not Run.objects.filter(task=task).exists()
    found = stored(task)
    if found.state == "active" and found.next_run is not None:
        assert Timing.of(found).next_after(just_before(found.next_run)) == found.next_run


def test_a_larger_step_withdraws_what_was_planned_ahead():
    task = scheduled("* * * * * *")
    tick("default", NOON + HOUR)
    plan_ahead("default", NOON + HOUR)
    now = NOON + HOUR - 2 * ON_TIME_TOLERANCE
    repair("default", now)
    assert not Run.objects.filter(due_at__gt=now).exists()
    assert stored(task).next_run == now + SECOND
