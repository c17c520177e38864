"""Tasks of django.tasks on Sisy's schedules."""

import importlib
import sys

import pytest

from sisy.models import task_with_callable
from sisy.planning import declarations
from sisy.testing import assert_ran, sisy_time
from tests.app import django_jobs as jobs

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["add", "aadd"])
def test_a_django_task_receives_user_data_as_keyword_arguments(name):
    with sisy_time("2026-05-05 12:00", "UTC") as time:
        task = task_with_callable(
            getattr(jobs, name), schedule="0 * * * *", userdata={"first": 3, "second": 4}
        )
        task.save()
        time.advance(hours=1)
    [run] = assert_ran(getattr(jobs, name), 1)
    assert (run.target_path, run.result) == (f"tests.app.django_jobs.{name}", 7)


def test_unexpected_arguments_are_the_reason_of_a_failed_run():
    with sisy_time("2026-05-05 12:00", "UTC") as time:
        task_with_callable(jobs.add, schedule="0 * * * *", userdata={"third": 3}).save()
        time.advance(hours=1)
    [run] = assert_ran(jobs.add, 1, state="failed")
    assert "unexpected keyword argument 'third'" in run.reason


def test_a_django_task_is_also_found_by_its_path():
    assert task_with_callable("tests.app.django_jobs.add").target.info()["func_type"] == "task"


def test_a_task_that_takes_a_context_receives_its_run():
    with sisy_time("2026-05-05 12:00", "UTC") as time:
        task_with_callable(jobs.asks, schedule="0 * * * *").save()
        time.advance(hours=1)
    [run] = assert_ran(jobs.asks, 1)
    assert run.result == 1


def test_any_variant_of_a_django_task_is_accepted():
    task = task_with_callable(jobs.add.using(priority=3))
    assert task.target_path == "tests.app.django_jobs.add"


def test_a_django_task_can_be_declared_and_is_returned_unchanged():
    with declarations.collected_anew():
        schedules = importlib.import_module("tests.app.django_schedules")
        [declared] = declarations.declarations()
    del sys.modules[schedules.__name__]
    assert schedules.decorated is jobs.add
    assert (declared.name, declared.path) == ("add", "tests.app.django_jobs.add")
