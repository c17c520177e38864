"""What a function sets on its task without saving it decides nothing, and breaks nothing."""

from datetime import timedelta

import pytest

from sisy.execution import message_for
from sisy.models import Attempt, OutboxMessage, Run, RunState, Task
from sisy.worker.claim import claim
from tests.roles.steps import finish
from tests.support.moments import NOON
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def called(**fields):
    """Return a run that a worker has claimed, and the task that its function receives."""
    scheduled("0 0 1 1 *", **fields).run_now()
    [run] = claim(worker(), ["default"], 1, NOON)
    return run, message_for(run)["task"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_attempts", 1),
        ("max_attempts", "many"),
        ("retry_delay", 30),
        ("retry_delay", timedelta.max),
        ("retry_backoff", None),
        ("retry_max_delay", None),
        ("ping", 5),
        ("ping", "x" * 5000),
        ("pk", None),
    ],
)
def test_a_failed_run_is_retried_by_the_stored_policy(name, value):
    run, task = called(max_attempts=3)
    setattr(task, name, value)
    finish(run, NOON, RunState.FAILED)
    assert (stored(run).state, Attempt.objects.count()) == (RunState.QUEUED, 1)
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("value", [5, "x" * 5000, "https://example.com/ping"])
def test_a_run_ends_although_its_function_spoils_the_address_to_ping(value):
    run, task = called()
    task.ping = value
    finish(run, NOON)
    assert stored(run).state == RunState.SUCCEEDED
    assert not OutboxMessage.objects.exists()


def test_a_function_that_saves_its_task_with_one_attempt_is_not_retried():
    run, task = called(max_attempts=3)
    task.max_attempts = 1
    task.save()
    finish(run, NOON, RunState.FAILED)
    assert (stored(run).state, Attempt.objects.count()) == (RunState.FAILED, 0)


def test_a_function_that_saves_its_task_as_a_new_one_leaves_the_old_one():
    run, task = called()
    Task.objects.update(target_error="It was missing.")
    run.task.refresh_from_db()
    old, task.pk = task.pk, None
    task._state.adding = True
    task.save()
    finish(run, NOON)
    assert Run.objects.get().task_id == old
    assert Task.objects.get(pk=old).target_error == ""
