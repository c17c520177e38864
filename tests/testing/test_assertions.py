"""Claims of tests, and what they say if they do not hold."""

import subprocess
import sys

import pytest
from django.test import TestCase

from sisy.models import task_with_callable
from sisy.testing import SisyTestMixin, assert_ran, assert_scheduled
from tests.app import jobs


@pytest.fixture
def time(sisy_time):
    """The fixture that pytest finds by itself."""
    return sisy_time("2026-05-05 12:00", "UTC")


def scheduled(**fields):
    task = task_with_callable(jobs.noop, timezone="UTC", **fields)
    task.save()
    return task


def test_assert_scheduled_returns_the_task(time):
    task = scheduled(schedule="@hourly", queue="slow")
    assert assert_scheduled(jobs.noop) == task
    assert assert_scheduled("tests.app.jobs.noop", schedule="@hourly", queue="slow") == task


def test_a_failed_assertion_shows_the_scheduled_tasks(time):
    scheduled(schedule="@hourly", label="every hour")
    with pytest.raises(AssertionError) as raised:
        assert_scheduled(jobs.noop, queue="slow")
    assert "1 task that calls tests.app.jobs.noop with queue='slow', found 0" in str(raised.value)
    assert "every hour: schedule='@hourly', queue='default'" in str(raised.value)
    with pytest.raises(AssertionError, match=r"^No task calls [\w.]+\.$"):
        assert_scheduled(jobs.fails)
    scheduled(schedule="@daily")
    with pytest.raises(AssertionError, match=r"exactly 1 task .* found 2"):
        assert_scheduled(jobs.noop)


def test_runs_are_counted_by_outcome(time):
    scheduled(schedule="0 * * * *")
    time.advance(hours=3)
    assert len(assert_ran(jobs.noop)) == len(assert_ran(jobs.noop, 3)) == 3
    assert assert_ran(jobs.noop, 0, state="failed") == []
    with pytest.raises(AssertionError, match="Expected 4 runs of"):
        assert_ran(jobs.noop, 4)
    with pytest.raises(AssertionError, match="It has no runs"):
        assert_ran(jobs.fails)


def test_the_message_contains_the_reason_of_the_failure(time):
    task_with_callable(jobs.fails, schedule="0 * * * *", timezone="UTC").save()
    time.advance(hours=1)
    with pytest.raises(AssertionError, match="RuntimeError: it was to be expected"):
        assert_ran(jobs.fails)


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_message_contains_the_traceback_of_the_last_failure(time, attempts):
    task_with_callable(
        jobs.fails, schedule="0 * * * *", timezone="UTC", max_attempts=attempts
    ).save()
    time.advance(hours=1)
    with pytest.raises(AssertionError) as raised:
        assert_ran(jobs.fails)
    told = str(raised.value)
    assert told.count("Traceback (most recent call last):") == 1
    assert f'File "{jobs.__file__}"' in told
    assert told.rstrip().endswith("RuntimeError: it was to be expected")


def test_asserting_no_failures_shows_the_traceback_too(time):
    task_with_callable(jobs.fails, schedule="0 * * * *", timezone="UTC").save()
    time.advance(hours=1)
    with pytest.raises(AssertionError, match=r"Traceback \(most recent call last\)"):
        assert_ran(jobs.fails, 0, state="failed")


def test_a_state_that_does_not_exist_is_rejected():
    with pytest.raises(ValueError, match=r"'faild' is not a state .* mean 'failed'"):
        assert_ran(jobs.noop, times=0, state="faild")


class PlainTests(SisyTestMixin, TestCase):
    def test_assertions_work_in_a_test_case(self):
        time = self.sisy_time("2026-05-05 12:00", "UTC")
        scheduled(schedule="0 * * * *")
        time.advance(hours=2)
        self.assertRan(jobs.noop, 2)
        self.assertScheduled(jobs.noop, schedule="0 * * * *")


def test_the_plugin_imports_no_django():
    code = "import sys, sisy.pytest_plugin; print('sisy.models' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
