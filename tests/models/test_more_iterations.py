"""A retired task that gets more iterations is planned from then on, however they are changed."""

import pytest
from django.db.models import F

from sisy.heartbeat import tick
from sisy.models import Run, RunState, Task, TaskState
from sisy.worker.claim import claim
from tests.roles.steps import finish
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

DUE = NOON + MINUTE


def saved(task, iterations):
    task = stored(task)
    task.iterations = iterations
    task.save()


def updated(task, iterations):
    Task.objects.filter(state=TaskState.RETIRED).update(iterations=iterations)


def bulk_updated(task, iterations):
    task.iterations = iterations
    Task.objects.bulk_update([task], ["iterations"])


def increased(task, iterations):
    Task.objects.filter(pk=task.pk).update(iterations=F("iterations") + (iterations or 10) - 1)


@pytest.fixture
def retired(now):
    """Return a task whose last run is still running."""
    task = scheduled(iterations=1)
    now.moment = DUE
    tick("default", DUE)
    claim(worker(), ["default"], 1, DUE)
    now.moment = DUE + 10 * MINUTE
    return stored(task)


@pytest.mark.parametrize("iterations", [2, None])
@pytest.mark.parametrize("edit", [saved, updated, bulk_updated, increased])
def test_a_retired_task_with_more_iterations_is_planned_from_then_on(
    retired, now, edit, iterations
):
    edit(retired, iterations)
    tick("default", now.moment)
    assert stored(retired).next_run == DUE + 11 * MINUTE
    tick("default", DUE + 11 * MINUTE)
    assert list(Run.objects.order_by("pk").values_list("state", "due_at")) == [
        (RunState.RUNNING, DUE),
        (RunState.QUEUED, DUE + 11 * MINUTE),
    ]


@pytest.mark.parametrize("edit", [saved, updated, bulk_updated])
def test_a_retired_task_with_no_more_iterations_ends(retired, now, edit):
    edit(retired, 1)
    tick("default", now.moment)
    assert stored(retired).state == TaskState.RETIRED
    finish(Run.objects.get(), now.moment)
    assert not Task.objects.exists()


def test_a_task_that_runs_once_gets_no_schedule_with_more_iterations(now):
    Task.run_once("tests.app.jobs.noop")
    Task.objects.update(iterations=5)
    tick("default", NOON)
    assert Task.objects.get().state == TaskState.RETIRED
