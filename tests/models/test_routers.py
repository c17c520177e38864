"""With DATABASE_ROUTERS, what is read from a replica is written to the primary."""

from datetime import UTC, datetime

import pytest

from sisy.models import Run, Task, task_with_callable
from tests.app import jobs
from tests.support.moments import NOON

pytestmark = pytest.mark.django_db


class PrimaryAndReplica:
    """There is no replica here: whatever is asked of it fails."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, first, second, **hints):
        return True


@pytest.fixture
def task(settings, at_time):
    """A task as it was read from the replica."""
    at_time(NOON)
    task = task_with_callable(jobs.noop)
    task.save()
    settings.DATABASE_ROUTERS = [PrimaryAndReplica()]
    task._state.db = "replica"
    return task


def stored():
    return Task.objects.using("default").get()


def test_pause_and_resume_are_written_to_the_primary(task):
    assert task.pause("holidays")
    assert stored().state == "paused"
    assert task.resume()
    assert stored().state == "active"


def test_runs_are_submitted_to_and_cancelled_on_the_primary(task):
    task.run_now()
    assert Run.objects.using("default").get().state == "queued"
    assert task.cancel_queued() == 1
    assert Run.objects.using("default").get().state == "cancelled"


def test_a_save_plans_again_on_the_primary(task):
    task.schedule = "0 18 * * *"
    task.save()
    assert stored().next_run == datetime(2026, 5, 5, 18, tzinfo=UTC)


def test_run_once_stays_on_the_primary(task):
    Task.run_once(jobs.noop)
    assert Run.objects.using("default").get().origin == "once"


@pytest.mark.parametrize("way", ["save", "queryset"])
def test_deleting_cancels_and_deletes_on_the_primary(task, way):
    key = task.pk
    task.run_now()
    if way == "save":
        task.delete()
    else:
        Task.objects.filter(pk=task.pk).delete()
    run = Run.objects.using("default").get()
    assert (run.task_id, run.state) == (key, "cancelled")
    assert not Task.objects.using("default").exists()


def test_an_update_is_written_to_the_primary(task):
    Task.objects.filter(pk=task.pk).update(schedule="0 18 * * *")
    assert stored().next_run is None
    assert stored().planning_since == NOON
