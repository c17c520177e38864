"""Whatever makes a task takes every policy that a task has."""

import pytest

from sisy.models import Run, Task, TaskState, task_with_callable
from tests.app import jobs
from tests.support.moments import MINUTE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

VALUES = {
    "note": "Call *Ann*.\n\n- then retry",
    "wait_for_schedule": False,
    "priority": 5,
    "engine": "at once",
    "missed": "all",
    "missed_window": MINUTE,
    "overlap": "buffer_all",
    "allow_overlap": False,
    "max_attempts": 3,
    "retry_delay": MINUTE,
    "retry_backoff": 3.0,
    "retry_max_delay": MINUTE,
    "on_lost": "fail",
    "timeout": MINUTE,
    "stalled_after": MINUTE,
    "spread": MINUTE,
    "alert_after": 2,
    "start_within": MINUTE,
    "expected_duration": MINUTE,
    "success_every": MINUTE,
    "ping": "https://hc-ping.com/secret",
    "history_runs": 7,
}
WAYS = {
    "task_with_callable": lambda **given: task_with_callable(jobs.noop, **given),
    "run_once": lambda **given: Task.run_once(jobs.noop, **given),
    "bulk_run_once": lambda **given: Task.bulk_run_once(jobs.noop, [{}, {}], **given),
    "run_iterations": lambda **given: Task.run_iterations(jobs.noop, **given),
}


def made(way, **given):
    task = WAYS[way](**given)
    if task._state.adding:
        task.save()
    return Task.objects.get(pk=task.pk)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", VALUES)
def test_a_policy_can_be_given_and_is_stored(way, name):
    task = made(way, **{name: VALUES[name]})
    assert getattr(task, name) == VALUES[name]


@pytest.mark.parametrize("way", WAYS)
def test_a_label_and_a_queue_can_be_given_and_runs_have_them(way):
    task = made(way, label="report", queue="mail", priority=5, overlap="skip")
    assert (task.label, task.queue, task.overlap) == ("report", "mail", "skip")
    for run in Run.objects.all():
        assert (run.label, run.queue, run.priority) == ("report", "mail", 5)


@pytest.mark.parametrize("way", WAYS)
def test_an_omitted_policy_is_the_default(way):
    assert made(way, **dict.fromkeys(VALUES)).overlap == made(way).overlap
    assert made(way).overlap == ("allow" if "once" in way else "skip")
    assert made(way).state == (TaskState.RETIRED if "once" in way else TaskState.ACTIVE)


@pytest.mark.parametrize("way", WAYS)
def test_an_unknown_policy_is_rejected_with_the_nearest_one(way):
    with pytest.raises(TypeError, match="'timeot'"):
        WAYS[way](timeot=MINUTE)
    assert not Task.objects.exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_cannot_be_used_is_rejected(way):
    with pytest.raises(ValueError, match="priority must be a whole number"):
        made(way, priority=1000)
    assert not Task.objects.exists()


def test_iterations_take_a_zone():
    assert made("run_iterations", timezone="Asia/Tokyo", queue="mail").timezone == "Asia/Tokyo"
