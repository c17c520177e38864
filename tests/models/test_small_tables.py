"""The small tables follow what is written through Django, as a fixture checks after each test."""

from contextlib import contextmanager

import pytest
from django.db import connection

from sisy.models import QueuedRun, Run, RunState, Task, TroubledRun
from tests.app import jobs
from tests.support.moments import HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def run():
    [run] = Task.run_once(jobs.noop).runs.all()
    return run


def test_a_saved_run_has_an_entry_for_its_state(run):
    for state in RunState:
        run.state = state
        run.save()
        assert QueuedRun.objects.exists() == (state == RunState.QUEUED)


def test_an_update_of_many_runs_is_followed(run):
    Run.objects.update(ready_at=NOON + HOUR, priority=3)
    assert QueuedRun.objects.get().priority == 3
    Run.objects.queued().update(state=RunState.FAILED, finished_at=NOON)
    assert TroubledRun.objects.get().state == RunState.FAILED


def test_a_run_that_matches_only_after_the_update_began_does_not_change(run):
    Task.run_once(jobs.noop, queue="mail")

    def joins_in(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            with connection.cursor() as cursor, suspended(joins_in):
                cursor.execute("UPDATE sisy_run SET queue = 'default'")
                cursor.execute("UPDATE sisy_queued_run SET queue = 'default'")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(joins_in):
        assert Run.objects.filter(queue="default").update(priority=3) == 1
    assert QueuedRun.objects.get(priority=3).run_id == run.pk


@contextmanager
def suspended(wrapper):
    connection.execute_wrappers.remove(wrapper)
    yield
    connection.execute_wrappers.append(wrapper)


def test_runs_that_are_chosen_by_their_entries_are_deleted(run):
    assert Run.objects.queued().delete()[0] == 1
    assert not QueuedRun.objects.exists()
    assert not Run.objects.exists()


def test_a_deleted_run_leaves_no_entry(run):
    run.delete()
    assert not QueuedRun.objects.exists()


def test_many_runs_are_stored_with_their_entries(run):
    task = Task.objects.get()
    Run.objects.bulk_create(task.new_run(now=NOON, state=state) for state in RunState)
    assert QueuedRun.objects.count() == 2
