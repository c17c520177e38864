"""Tasks are paused, resumed, cancelled and deleted."""

import pytest

from sisy.heartbeat import tick
from sisy.models import (
    Process,
    Role,
    Run,
    RunState,
    Task,
    TaskState,
)
from sisy.worker.claim import claim
from tests.support.clocks import clock_at
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def planned(**fields):
    """Return a task of which one run is queued."""
    task = scheduled(**fields)
    tick("default", NOON + MINUTE)
    assert task.runs.get().state == RunState.QUEUED
    return task


def started(task):
    worker = Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR)
    [run] = claim(worker, ["default"], 1, NOON + MINUTE)
    assert run.task == task
    return run


def delete_one(task):
    task.delete()


def delete_many(task):
    Task.objects.filter(pk=task.pk).delete()


deletions = pytest.mark.parametrize("delete", [delete_one, delete_many])


@deletions
def test_deleting_a_task_cancels_its_queued_runs_and_keeps_its_history(delete):
    task, other = scheduled(label="deleted"), scheduled()
    tick("default", NOON + MINUTE)
    with clock_at(NOON + 2 * MINUTE):
        delete(task)
    missed, run = Run.objects.filter(label="deleted")
    assert (missed.state, missed.due_at) == (RunState.MISSED, NOON + 2 * MINUTE)
    assert (run.state, run.reason) == (RunState.CANCELLED, "The task was deleted.")
    assert (run.task, run.due_at, run.finished_at) == (None, NOON + MINUTE, NOON + 2 * MINUTE)
    assert run.target_path == "tests.app.jobs.noop"
    assert other.runs.get().state == RunState.QUEUED


@deletions
def test_deleting_a_task_lets_a_running_run_end(delete):
    task = planned()
    run = started(task)
    delete(task)
    kept = Run.objects.get()
    assert (kept.state, kept.task, kept.process) == (RunState.RUNNING, None, run.process)


@deletions
def test_a_deleted_task_is_not_planned_again(delete):
    task = scheduled()
    delete(task)
    tick("default", NOON + HOUR)
    assert not Run.objects.exists()


def test_cancelling_cancels_queued_runs_and_says_how_many():
    task, other = scheduled(), scheduled()
    tick("default", NOON + MINUTE)
    assert task.cancel_queued("not today") == 1
    assert task.cancel_queued() == 0
    run = task.runs.get()
    assert (run.state, run.reason, run.finished_at) == (RunState.CANCELLED, "not today", NOON)
    assert other.runs.get().state == RunState.QUEUED


def test_cancelling_leaves_a_running_run_alone():
    task = planned()
    started(task)
    assert task.cancel_queued() == 0
    assert task.runs.get().state == RunState.RUNNING


def test_pausing_says_whether_the_task_was_planned_and_remembers_why():
    task = scheduled()
    assert task.pause("holidays") is True
    assert task.pause("again") is False
    kept = Task.objects.get()
    for each in (task, kept):
        assert (each.state, each.state_reason) == (TaskState.PAUSED, "holidays")
        assert each.next_run is None


def test_a_paused_task_is_not_planned_but_its_queued_runs_run():
    task = planned()
    task.pause()
    tick("default", NOON + HOUR)
    started(task)
    assert Run.objects.count() == 1


def test_resuming_plans_from_now_on_and_never_for_the_pause():
    task = scheduled("0 * * * *")
    task.pause("holidays")
    with clock_at(NOON + DAY + MINUTE):
        assert task.resume() is True
        assert task.resume() is False
    tick("default", NOON + DAY + MINUTE)
    kept = Task.objects.get()
    assert (kept.state, kept.state_reason, kept.next_run) == (
        TaskState.ACTIVE,
        "",
        NOON + DAY + HOUR,
    )
    assert not Run.objects.exists()


def test_a_task_that_is_edited_while_paused_stays_paused():
    task = scheduled("0 * * * *")
    task.pause()
    task.schedule = "30 * * * *"
    task.save()
    assert Task.objects.get().state == TaskState.PAUSED
    task.resume()
    assert Task.objects.get().next_run == NOON + 30 * MINUTE


def test_a_task_whose_window_ended_while_paused_is_retired_by_resuming():
    task = scheduled("0 * * * *", end_running=NOON + 2 * HOUR)
    task.pause()
    with clock_at(NOON + 3 * HOUR):
        task.resume()
    assert Task.objects.get().state == TaskState.RETIRED


def test_resuming_a_task_whose_schedule_broke_while_paused_marks_it_broken():
    task = scheduled()
    task.pause()
    Task.objects.update(timezone="Europe/Berlim")
    task.resume()
    kept = Task.objects.get()
    assert kept.state == TaskState.BROKEN
    assert "'Europe/Berlim'" in kept.state_reason


def test_a_task_continues_when_its_iterations_are_raised():
    task = scheduled(iterations=1)
    tick("default", NOON + MINUTE)
    task.refresh_from_db()
    assert task.state == TaskState.RETIRED
    with clock_at(NOON + MINUTE):
        task.iterations = 2
        task.save()
    assert Task.objects.get().next_run == NOON + 2 * MINUTE


def test_a_task_is_named_by_its_label():
    assert str(scheduled(label="a label")) == "a label"
