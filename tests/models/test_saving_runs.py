"""Saving a run writes to the small tables only if they copy what is saved."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import QueuedRun, RunState, Task, TroubledRun
from sisy.store.run_queries import COPIED_TO_ENTRIES
from tests.app import jobs
from tests.support.moments import HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def run():
    [run] = Task.run_once(jobs.noop).runs.all()
    return run


def test_saving_other_fields_of_a_run_takes_one_statement(run):
    run.reason, run.state = "why", RunState.FAILED  # the state is not saved
    with CaptureQueriesContext(connection) as queries:
        run.save(update_fields=["reason"])
    assert len(queries) == 1
    assert QueuedRun.objects.filter(run_id=run.pk).exists()


@pytest.mark.parametrize("name", sorted(COPIED_TO_ENTRIES - {"process_id", "task_id"}))
def test_saving_a_field_that_entries_copy_changes_them(run, name):
    run.state, run.finished_at = RunState.FAILED, NOON
    run.priority, run.ready_at = 5, NOON + HOUR
    run.save(update_fields=[name])
    entry = QueuedRun.objects.first()
    assert TroubledRun.objects.exists() == (name == "state")
    assert entry is None or (entry.priority == 5) == (name == "priority")
    assert entry is None or (entry.ready_at == run.ready_at) == (name == "ready_at")
