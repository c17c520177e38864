"""SISY_EAGER: what is submitted is carried out at once, by whoever submits it."""

from datetime import timedelta

import pytest
from django.core import checks
from django.utils import timezone

from sisy.models import Process, Run, Task, task_with_callable
from tests.app import django_jobs, jobs
from tests.app.models import Execution

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def eager(settings):
    settings.SISY_EAGER = True


def test_run_once_has_run_when_the_call_returns():
    Task.run_once(jobs.record)
    assert Execution.objects.count() == 1
    assert [run.state for run in Run.objects.all()] == ["succeeded"]
    assert not Task.objects.exists()
    assert not Process.objects.exists()


def test_each_run_of_a_bulk_has_run():
    Task.bulk_run_once(jobs.record, [{"n": n} for n in range(3)])
    assert Execution.objects.count() == 3


def test_run_now_runs_eagerly_and_keeps_the_schedule():
    task = task_with_callable(jobs.anoop, schedule="@yearly")
    task.save()
    run = task.run_now()
    run.refresh_from_db()
    task.refresh_from_db()
    assert (run.state, task.state) == ("succeeded", "active")


def test_an_enqueued_task_is_finished():
    result = django_jobs.add.enqueue(1, second=2)
    result.refresh()
    assert result.return_value == 3


def test_a_failure_is_recorded_and_not_raised():
    Task.run_once(jobs.fails)
    [run] = Run.objects.all()
    assert (run.state, run.reason) == ("failed", "RuntimeError: it was to be expected")


def test_a_delayed_run_stays_queued():
    Task.run_once(jobs.record, delay_until=timezone.now() + timedelta(days=1))
    assert [run.state for run in Run.objects.all()] == ["queued"]


def test_a_function_may_submit_another():
    Task.run_once(submits_another)
    assert set(Run.objects.values_list("label", "state")) == {
        ("tests.testing.test_eager.submits_another", "succeeded"),
        ("tests.app.jobs.record", "succeeded"),
    }


def submits_another(message):
    Task.run_once(jobs.record)


def test_an_eager_deployment_gets_a_warning():
    [found] = [
        one for one in checks.run_checks(include_deployment_checks=True) if one.id == "sisy.W013"
    ]
    assert "SISY_EAGER" in str(found)
