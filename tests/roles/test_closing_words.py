"""The message that a problem is over says what became of its run."""

import pytest

from sisy.lifecycle.release import release_running
from sisy.models import Alert, Run, RunState, Task
from tests.support.moments import HOUR, MINUTE

pytestmark = pytest.mark.django_db


def test_a_slow_run_that_is_released_has_not_ended(site):
    """A message that it had would send the person on call back to bed."""
    run = site.start(site.idle_task(expected_duration=MINUTE))
    site.later(120)
    release_running("default", [run], "Its worker stopped", site.now)
    site.later(60)
    reason = Alert.objects.get().close_reason
    assert reason == "The run did not end. It was released, and is queued again."


def test_a_slow_run_that_may_take_longer_has_not_ended(site):
    task = site.idle_task(expected_duration=MINUTE)
    site.start(task)
    site.later(120)
    Task.objects.filter(pk=task.pk).update(expected_duration=HOUR)
    site.later(60)
    assert "still running" in Alert.objects.get().close_reason


def test_a_slow_run_whose_worker_stops_is_slow_until_it_is_cancelled(site):
    run = site.start(site.idle_task(expected_duration=MINUTE))
    site.later(90)
    run.cancel("enough")
    release_running("default", [run], "Its worker stopped", site.now)
    site.worker.leave(now=site.now)
    site.later(2)
    assert site.open_kinds() == ["slow"]
    site.later(60)
    assert Run.objects.get().state == RunState.CANCELLED
    assert Alert.objects.get(kind="slow").close_reason == "The run has ended: cancelled."


def test_a_late_run_that_is_cancelled_did_not_start(site):
    run = site.idle_task(start_within=MINUTE).run_now()
    site.later(120)
    run.cancel("enough")
    site.later(60)
    assert Alert.objects.get().close_reason == "The run did not start: cancelled."


def test_a_late_run_that_may_start_later_is_still_queued(site):
    task = site.idle_task(start_within=MINUTE)
    task.run_now()
    site.later(120)
    Task.objects.filter(pk=task.pk).update(start_within=HOUR)
    site.later(60)
    assert "still queued" in Alert.objects.get().close_reason


def test_a_queue_still_has_no_worker_after_its_runs_were_cancelled(site):
    task = site.idle_task(queue="gpu")
    task.run_now()
    site.later(120)
    task.cancel_runs("enough")
    site.later(60)
    assert site.open_kinds() == ["no_worker"]
    task.pause()
    site.later(60)
    reason = Alert.objects.get().close_reason
    assert reason == "No run in the queue is waiting for a worker."
