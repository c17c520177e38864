"""A block of ``sisy_time`` begins at its moment, whatever day it is when the tests run."""

from datetime import UTC, datetime, timedelta

import pytest

import sisy
from sisy import clock
from sisy.models import Run, RunState, Task, TaskState, task_with_callable
from sisy.planning import declarations
from sisy.syncing.discovery import Discovered
from sisy.syncing.sync import sync
from sisy.testing import assert_ran, sisy_time
from tests.app import jobs
from tests.support.moments import DAY, HOUR, MINUTE
from tests.support.records import scheduled, stored

pytestmark = pytest.mark.django_db

LONG_AGO = "2001-03-04 00:00"
FAR_AHEAD = "2090-03-04 00:00"


def migrated(**fields):
    """Declare a function, and make a task of it as ``migrate`` does, by today's real clock."""
    sisy.schedule("0 * * * *", **{"name": "hourly", "timezone": "UTC", **fields})(jobs.noop)
    found = Discovered(declarations=declarations.declarations())
    sync("default", found, clock.now("default"))


@pytest.fixture(autouse=True)
def nothing_else_declared():
    with declarations.collected_anew():
        yield


@pytest.mark.parametrize("moment", [LONG_AGO, FAR_AHEAD])
def test_a_declared_task_runs_as_often_as_its_schedule_says_on_any_day(moment):
    migrated()
    with sisy_time(moment, "UTC") as time:
        assert len(time.advance(days=1)) == 24
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.SUCCEEDED}
    assert Run.objects.count() == 24


@pytest.mark.parametrize("moment", [LONG_AGO, FAR_AHEAD])
def test_the_next_run_is_correct_before_time_advances(moment):
    migrated()
    with sisy_time(moment, "UTC") as time:
        task = Task.objects.get()
        assert task.next_run == time.now + HOUR
        task.pause()
        assert not Run.objects.exists(), "nothing was overdue"


@pytest.mark.parametrize("moment", [LONG_AGO, FAR_AHEAD])
@pytest.mark.parametrize("is_due_at_once", [True, False])
def test_tasks_saved_before_the_block_are_planned_from_its_start(moment, is_due_at_once):
    scheduled("0 * * * *", wait_for_schedule=not is_due_at_once)
    with sisy_time(moment, "UTC") as time:
        assert len(time.run_due()) == is_due_at_once
        assert len(time.advance(hours=3)) == 3


def test_runs_submitted_before_the_block_run_at_its_start():
    Task.run_once(jobs.noop)
    with sisy_time(LONG_AGO) as time:
        assert len(time.run_due()) == 1


def test_a_delayed_run_is_queued_until_its_moment():
    Task.run_once(jobs.noop, delay_until=datetime.now(UTC) + DAY)
    with sisy_time(LONG_AGO) as time:
        assert time.advance(days=1) == []


def test_a_second_block_may_start_earlier_than_the_first():
    task = scheduled("0 * * * *")
    for moment in ("2026-05-05 00:00", "2026-05-08 00:00", "2026-04-01 00:00"):
        with sisy_time(moment, "UTC") as time:
            assert len(time.advance(hours=2)) == 2
    assert set(task.runs.values_list("state", flat=True)) == {RunState.SUCCEEDED}


def test_a_declared_task_whose_window_is_over_today_runs_within_it():
    start = datetime(2001, 3, 1, tzinfo=UTC)
    migrated(start_running=start, end_running=start + timedelta(days=10))
    assert not Task.objects.exists(), "a deploy makes nothing of what is over"
    with sisy_time(LONG_AGO, "UTC") as time:
        assert len(time.advance(hours=2)) == 2


def test_a_declared_task_deleted_by_a_test_is_not_created_again():
    migrated()
    Task.objects.all().delete()
    with sisy_time(LONG_AGO) as time:
        assert time.advance(days=1) == []


def test_a_declared_task_whose_window_is_over_at_the_moment_does_not_run():
    migrated(end_running=datetime(2080, 1, 1, tzinfo=UTC))
    with sisy_time(FAR_AHEAD, "UTC") as time:
        assert time.advance(days=1) == []
        assert Task.objects.get().state == TaskState.RETIRED
    assert not Run.objects.exists()


def test_a_paused_task_stays_paused():
    task = scheduled("0 * * * *")
    task.pause()
    with sisy_time(LONG_AGO, "UTC") as time:
        assert time.advance(days=1) == []
        stored(task).resume()
        assert len(time.advance(hours=2)) == 2


def test_a_pause_that_is_over_at_the_start_ends_there():
    task = scheduled("0 * * * *")
    task.pause(until=clock.now("default") + HOUR)
    with sisy_time(FAR_AHEAD, "UTC") as time:
        assert len(time.advance(hours=2)) == 3
    assert not Run.objects.filter(state=RunState.MISSED).exists()


def test_iterations_that_are_left_are_counted_on():
    scheduled("0 * * * *", iterations=3)
    with sisy_time("2026-05-05 00:00", "UTC") as time:
        assert len(time.advance(hours=2)) == 2
    with sisy_time(LONG_AGO, "UTC") as time:
        assert len(time.advance(hours=3)) == 1
    assert_ran(jobs.noop, 3)


def test_after_the_block_occurrences_until_now_are_not_missed():
    task = task_with_callable(jobs.noop, schedule="0 * * * *")
    with sisy_time("2026-05-05 00:00", "UTC") as time:
        task.save()
        time.advance(minutes=90)
        assert stored(task).next_run == time.now + 30 * MINUTE
    with sisy_time(FAR_AHEAD, "UTC") as time:
        assert len(time.advance(hours=1)) == 1
    assert Run.objects.filter(state=RunState.MISSED).count() == 0
