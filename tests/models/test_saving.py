"""What ``save()`` writes, and what it leaves to the scheduler and to others."""

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, transaction

from sisy.heartbeat import tick
from sisy.models import Run, RunState, Task, TaskState, task_with_callable
from sisy.records.task_fields import OWNER_FIELDS, SCHEDULER_FIELDS
from tests.app import jobs
from tests.support.clocks import clock_at
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def schedulers_columns(task):
    return {name: getattr(stored(task), name) for name in SCHEDULER_FIELDS}


def test_each_save_writes_the_changes_since_the_previous_one():
    task = scheduled()
    for n in range(3):
        task.userdata["n"] = n
        task.save()
        assert stored(task).userdata == {"n": n}


@pytest.mark.django_db(transaction=True)
def test_a_save_without_a_change_makes_no_query(django_assert_num_queries):
    task = stored(scheduled())
    with django_assert_num_queries(0):
        task.save()


def test_every_column_belongs_to_the_owner_or_to_the_scheduler():
    columns = {field.name for field in Task._meta.concrete_fields} - {"id"}
    assert columns == OWNER_FIELDS | SCHEDULER_FIELDS
    assert not OWNER_FIELDS & SCHEDULER_FIELDS


def test_a_save_with_stale_marks_writes_none_of_the_schedulers_columns():
    task = scheduled()
    stale = stored(task)
    tick("default", NOON + MINUTE)
    before = schedulers_columns(task)
    assert before["runs_planned"] == 1
    for name in SCHEDULER_FIELDS:
        setattr(stale, name, Task._meta.get_field(name).get_default())
    stale.state = TaskState.PAUSED
    stale.userdata["n"] = 1
    stale.save()
    assert schedulers_columns(task) == before
    assert stored(task).userdata == {"n": 1}


@pytest.mark.parametrize("name", sorted(SCHEDULER_FIELDS))
def test_a_column_of_the_scheduler_cannot_be_saved_by_name(name):
    task = scheduled()
    with pytest.raises(ValueError) as caught:
        task.save(update_fields=[name])
    assert repr(name) in str(caught.value)


def test_named_fields_are_saved_and_the_others_stay_to_be_saved():
    task = scheduled()
    task.queue, task.priority = "slow", 5
    task.save(update_fields=["queue"])
    assert (stored(task).queue, stored(task).priority) == ("slow", 0)
    task.save()
    assert stored(task).priority == 5


def test_userdata_can_be_saved_by_its_name():
    task = scheduled()
    task.userdata["n"], task.allow_overlap, task.queue = 1, True, "slow"
    task.save(update_fields=["userdata", "allow_overlap"])
    assert (stored(task).userdata, stored(task).allow_overlap) == ({"n": 1}, True)
    assert stored(task).queue == "default"


def test_a_refresh_of_some_columns_keeps_the_others_to_be_saved():
    task = scheduled()
    task.queue = "slow"
    task.refresh_from_db(fields=["next_run"])
    task.save()
    assert stored(task).queue == "slow"


def test_a_deferred_column_that_is_read_keeps_the_others_to_be_saved():
    task = Task.objects.only("label").get(pk=scheduled().pk)
    task.label = "new"
    assert task.queue == "default"
    task.save()
    assert stored(task).label == "new"


def test_a_refresh_discards_unsaved_changes():
    task = scheduled()
    task.queue = "slow"
    task.refresh_from_db()
    task.save()
    assert stored(task).queue == "default"


def test_a_stale_save_does_not_undo_another_edit():
    task = scheduled()
    stale = stored(task)
    task.queue = "slow"
    task.save()
    stale.priority = 5
    stale.save()
    assert (stored(task).queue, stored(task).priority) == ("slow", 5)


@pytest.mark.django_db(transaction=True)
def test_a_change_that_was_rolled_back_is_saved_by_the_next_save():
    task = scheduled()
    with transaction.atomic():
        task.queue = "slow"
        task.save()
        transaction.set_rollback(True)
    assert stored(task).queue == "default"
    task.save()
    assert stored(task).queue == "slow"


def test_a_task_that_was_stored_in_bulk_can_be_saved():
    task = task_with_callable(jobs.noop)
    Task.objects.bulk_create([task])
    task.queue = "slow"
    task.save()
    assert stored(task).queue == "slow"


def test_a_task_that_was_deleted_in_the_meantime_is_not_brought_back():
    task = scheduled()
    stale = stored(task)
    task.delete()
    stale.userdata["n"] = 1
    with pytest.raises(DatabaseError, match="did not affect any rows"):
        stale.save()
    assert not Task.objects.exists()


def test_a_task_that_could_not_be_saved_can_be_fixed_and_saved():
    task = task_with_callable(jobs.noop, schedule="0 0 1 1 *", end_running=NOON + DAY)
    with pytest.raises(ValueError, match="has no future occurrence"):
        task.save()
    assert not Task.objects.exists()
    task.end_running = None
    task.save()
    assert stored(task).next_run == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_copy_begins_again():
    task = scheduled(iterations=1)
    tick("default", NOON + MINUTE)
    copy = stored(scheduled(iterations=2))
    tick("default", NOON + 2 * MINUTE)
    copy.refresh_from_db()
    copy.pk, copy._state.adding = None, True
    with clock_at(NOON + HOUR):
        copy.save()
    kept = stored(copy)
    assert copy.pk != task.pk
    assert (kept.runs_planned, kept.planned_until, kept.last_run) == (0, None, None)
    assert (kept.created_at, kept.next_run) == (NOON + HOUR, NOON + HOUR + MINUTE)


def test_a_finished_run_that_saved_its_task_is_recorded_beside_it():
    task = scheduled(iterations=1)
    tick("default", NOON + MINUTE)
    in_the_run = Run.objects.get().task
    in_the_run.userdata["n"] = 1
    in_the_run.save()
    kept = stored(task)
    assert (kept.userdata, kept.state) == ({"n": 1}, TaskState.RETIRED)
    assert Run.objects.get().state == RunState.QUEUED


def test_reverting_a_change_in_a_transaction_is_saved():
    task = scheduled(userdata={"locked": False})
    with transaction.atomic():
        task.queue = "slow"
        task.userdata["locked"] = True
        task.save()
        task.queue = "default"
        task.userdata["locked"] = False
        task.save()
    assert (stored(task).queue, stored(task).userdata) == ("default", {"locked": False})


def test_a_task_that_runs_once_can_be_saved_before_and_in_its_run():
    with transaction.atomic():
        task = Task.run_once(jobs.noop)
        task.userdata["x"] = 1
        task.save()
    task.timezone = "Europe/Berlin"
    task.save()
    kept = stored(task)
    assert (kept.state, kept.state_reason, kept.userdata) == ("retired", "", {"x": 1})
