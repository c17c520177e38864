"""Tasks that call a method of an object that was deleted."""

import logging

import pytest

from sisy.execution.inline import call_inline
from sisy.execution.run_handle import RunHandle, ignore_outcome
from sisy.heartbeat import tick
from sisy.models import Run, RunState, Task, TaskState
from sisy.worker.claim import claim
from sisy.worker.follow_up import ORPHANED_REASON
from sisy.worker.record import record
from tests.app import jobs
from tests.app.models import Counter
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def clock(at_time):
    return at_time(NOON)


@pytest.fixture
def minutes(clock):
    """A function that lets so many minutes pass, in each of which what is due runs."""

    def pass_by(count):
        for _ in range(count):
            clock.moment += MINUTE
            now = clock.moment
            tick("default", now)
            for run in claim(worker(now), ["default"], 10, now):
                handle = RunHandle(run, lambda now=now: now, ignore_outcome)
                handle.begin()
                record("default", [(run, call_inline(handle, None))], now)

    return pass_by


def orphan(**fields):
    """Return a task of each minute whose object was deleted."""
    counter = Counter.objects.create()
    task = scheduled(fn=counter.tick, **fields)
    Counter.objects.all().delete()
    return task


def stored(task):
    return Task.objects.get(pk=task.pk)


def test_after_three_failures_in_a_row_it_is_broken_and_the_fix_is_named(minutes, caplog):
    task = orphan()
    minutes(2)
    assert stored(task).state == TaskState.ACTIVE
    minutes(1)
    row = stored(task)
    assert (row.state, row.state_reason, row.next_run) == (TaskState.BROKEN, ORPHANED_REASON, None)
    assert "Delete the task, set another function" in row.state_reason
    [line] = [each for each in caplog.records if each.name == "sisy.tasks"]
    assert (line.levelno, line.task) == (logging.ERROR, task.pk)
    minutes(5)
    assert Run.objects.count() == 3


def test_a_success_in_between_begins_the_count_again(minutes):
    counter = Counter.objects.create()
    task = scheduled(fn=counter.tick)
    Counter.objects.all().delete()
    minutes(2)
    Counter.objects.create(pk=counter.pk)
    minutes(1)
    Counter.objects.all().delete()
    minutes(2)
    assert stored(task).state == TaskState.ACTIVE
    minutes(1)
    assert stored(task).state == TaskState.BROKEN


def test_other_failures_do_not_count(minutes):
    task = scheduled(fn=jobs.fails)
    minutes(5)
    assert stored(task).state == TaskState.ACTIVE


def test_missing_code_does_not_count_and_recovers_by_itself(settings, minutes, monkeypatch):
    settings.SISY_MISSING_CODE_SECONDS = 0
    task = scheduled()
    Task.objects.filter(pk=task.pk).update(target_path="tests.app.jobs.gone")
    minutes(5)
    assert stored(task).state == TaskState.ACTIVE
    assert "does not exist" in stored(task).target_error
    monkeypatch.setattr(jobs, "gone", jobs.noop, raising=False)
    minutes(1)
    assert Run.objects.latest("pk").state == RunState.SUCCEEDED
    assert stored(task).target_error == ""


def test_another_target_revives_it(minutes):
    task = orphan()
    minutes(3)
    task = stored(task)
    task.target_pk = str(Counter.objects.create().pk)
    task.save()
    assert (task.state, stored(task).state) == (TaskState.ACTIVE, TaskState.ACTIVE)
    assert (stored(task).state_reason, stored(task).target_error) == ("", "")
    minutes(1)
    assert Run.objects.latest("pk").state == RunState.SUCCEEDED


def test_another_target_by_a_query_revives_it(minutes):
    task = orphan()
    minutes(3)
    counter = Counter.objects.create()
    Task.objects.filter(pk=task.pk).update(target_pk=str(counter.pk))
    assert stored(task).state == TaskState.ACTIVE
    minutes(2)
    assert Run.objects.latest("pk").state == RunState.SUCCEEDED


def test_another_target_leaves_a_paused_task_paused(minutes):
    task = orphan()
    task.pause("for a while")
    counter = Counter.objects.create()
    Task.objects.filter(pk=task.pk).update(target_pk=str(counter.pk))
    assert (stored(task).state, stored(task).state_reason) == (TaskState.PAUSED, "for a while")
    assert stored(task).next_run is None


def test_it_is_resumed_when_the_object_is_restored(minutes):
    task = orphan()
    minutes(3)
    Counter.objects.create(pk=int(task.target_pk))
    assert stored(task).resume()
    assert stored(task).state == TaskState.ACTIVE
    minutes(1)
    assert Run.objects.latest("pk").state == RunState.SUCCEEDED


def test_if_it_is_not_restored_the_task_is_broken_again(minutes):
    task = orphan()
    minutes(3)
    stored(task).resume()
    minutes(1)
    assert stored(task).state == TaskState.BROKEN


def test_a_task_that_cannot_be_planned_is_broken_still_after_resume(minutes):
    task = scheduled()
    Task.objects.filter(pk=task.pk).update(schedule="61 * * * *")
    minutes(1)
    task = stored(task)
    assert task.state == TaskState.BROKEN
    assert task.resume()
    assert task.state == stored(task).state == TaskState.BROKEN


def test_a_task_paused_by_a_person_stays_paused(minutes):
    task = orphan()
    minutes(2)
    run = task.run_now()
    task.pause()
    [claimed] = claim(worker(NOON + HOUR), ["default"], 1, NOON + HOUR)
    handle = RunHandle(claimed, lambda: NOON + HOUR, ignore_outcome)
    handle.begin()
    record("default", [(claimed, call_inline(handle, None))], NOON + HOUR)
    assert Run.objects.get(pk=run.pk).state == RunState.FAILED
    assert stored(task).state == TaskState.PAUSED
