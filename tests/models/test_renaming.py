"""The values of ``h`` depend on the label: a renamed task is due by its new label alone."""

import pytest

from sisy.heartbeat import tick
from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.models import Run, RunState, Task
from sisy.planning.timing import Timing
from tests.support.moments import DAY, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]


def saved(task):
    task.label = "two"
    task.save()


def updated(task):
    Task.objects.filter(label="one").update(label="two")


def bulk_updated(task):
    task.label = "two"
    Task.objects.bulk_update([task], ["label"])


every_edit = pytest.mark.parametrize("edit", [saved, updated, bulk_updated])


def due_after(task, moment):
    return Timing.of(stored(task)).next_after(moment)


@every_edit
def test_a_renamed_task_with_h_is_due_by_its_new_label(now, edit):
    task = scheduled("h h * * *", label="one")
    before = due_after(task, NOON)
    edit(task)
    tick("default", NOON)
    assert stored(task).next_run == due_after(task, NOON) != before


@every_edit
def test_nothing_of_the_old_label_is_left_and_nothing_is_lost(now, edit):
    task = scheduled("h h * * *", label="one")
    due = due_after(task, NOON)
    tick("default", due - SECOND)
    plan_ahead("default", due - SECOND)
    assert Run.objects.get().due_at == due
    now.moment = due - SECOND
    edit(task)
    assert not Run.objects.exists()
    tick("default", now.moment)
    tick("default", due_after(task, now.moment))
    assert Run.objects.get().due_at == due_after(task, due - SECOND)


@every_edit
def test_what_was_missed_before_is_recorded_by_the_old_label(now, edit):
    task = scheduled("h h * * *", label="one")
    due = due_after(task, NOON)
    now.moment = due + MINUTE
    edit(task)
    assert list(Run.objects.values_list("due_at", "state")) == [(due, RunState.MISSED)]


@every_edit
@pytest.mark.parametrize("schedule", ["@daily", "0 0 * * thu", "0 0 * * *"])
def test_a_renamed_task_without_h_keeps_what_is_due(now, edit, schedule):
    task = scheduled(schedule, label="one")
    due = due_after(task, NOON)
    now.moment = due + DAY / 2
    edit(task)
    assert stored(task).next_run == due
