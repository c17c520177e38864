"""What becomes of occurrences that fell due while nobody planned.

The failures of the field: floods after a downtime, runs dropped that were a second late, daily
jobs that never run since each deploy begins to count anew, and tasks that fire when enabled.
"""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import Heartbeat, tick
from sisy.models import Missed, Run, RunState
from tests.support.clocks import clock_at
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

WEEK = 7 * DAY


def queued(task):
    runs = task.runs.filter(state=RunState.QUEUED).order_by("due_at")
    return list(runs.values_list("due_at", flat=True))


def test_a_slow_heartbeat_loses_no_second():
    scheduled("* * * * * *")
    tick("default", NOON + 4 * SECOND)
    assert list(Run.objects.order_by("due_at").values_list("due_at", flat=True)) == [
        NOON + n * SECOND for n in range(1, 5)
    ]


def test_after_an_outage_only_the_latest_runs_and_the_gap_is_one_row():
    scheduled("* * * * * *")
    tick("default", NOON + DAY)
    gap = Run.objects.get(state=RunState.MISSED)
    queued = Run.objects.filter(state=RunState.QUEUED)
    assert (gap.due_at, gap.due_until, gap.count) == (
        NOON + SECOND,
        NOON + DAY - SECOND,
        86_400 - 1,
    )
    assert queued.get().due_at == NOON + DAY


def test_an_hourly_task_catches_up_its_latest_occurrence():
    scheduled("0 * * * *")
    tick("default", NOON + 5 * HOUR + 30 * MINUTE)
    gap = Run.objects.get(state=RunState.MISSED)
    assert (gap.due_at, gap.due_until, gap.count) == (NOON + HOUR, NOON + 4 * HOUR, 4)
    assert Run.objects.get(state=RunState.QUEUED).due_at == NOON + 5 * HOUR


def test_missed_all_runs_each_up_to_the_limit_and_skip_runs_none(settings):
    settings.SISY_MISSED_LIMIT = 3
    every = scheduled("0 * * * *", missed=Missed.ALL)
    none = scheduled("0 * * * *", missed=Missed.SKIP)
    tick("default", NOON + 5 * HOUR + 30 * MINUTE)
    assert list(
        every.runs.filter(state=RunState.QUEUED)
        .order_by("due_at")
        .values_list("due_at", flat=True)
    ) == [NOON + n * HOUR for n in (3, 4, 5)]
    assert every.runs.get(state=RunState.MISSED).count == 2
    assert none.runs.get().count == 5


def test_a_missed_window_limits_the_age_of_caught_up_occurrences():
    task = scheduled("0 * * * *", missed_window=10 * MINUTE)
    tick("default", NOON + 5 * HOUR + 30 * MINUTE)
    assert task.runs.get().state == RunState.MISSED


@pytest.mark.parametrize("missed", Missed.values)
def test_a_task_of_every_second_costs_one_row_and_few_statements_after_a_week(missed):
    task = scheduled("* * * * * *", missed=missed)
    with CaptureQueriesContext(connection) as queries:
        tick("default", NOON + WEEK + SECOND / 2)
    gap = task.runs.get(state=RunState.MISSED)
    not_missed_yet = 5  # in the last five seconds
    runs = {"latest": 1, "all": 100 + not_missed_yet, "skip": not_missed_yet}[missed]
    assert gap.count + runs == WEEK / SECOND
    assert len(queued(task)) == runs
    assert len(queries) < 40  # of 604,800 occurrences; a look and a pass of housekeeping included


def test_two_outages_are_two_gaps():
    task = scheduled("* * * * *", missed=Missed.SKIP)
    tick("default", NOON + HOUR + 30 * SECOND)
    tick("default", NOON + HOUR + MINUTE)
    tick("default", NOON + 2 * HOUR + 30 * SECOND)
    gaps = task.runs.filter(state=RunState.MISSED).order_by("due_at")
    assert [(gap.due_at, gap.due_until, gap.count) for gap in gaps] == [
        (NOON + MINUTE, NOON + HOUR, 60),
        (NOON + HOUR + 2 * MINUTE, NOON + 2 * HOUR, 59),
    ]


def test_a_window_allows_catching_up_only_the_newest_occurrences():
    task = scheduled("0 * * * *", missed=Missed.ALL, missed_window=2 * HOUR)
    tick("default", NOON + 5 * HOUR + 30 * MINUTE)
    assert queued(task) == [NOON + 4 * HOUR, NOON + 5 * HOUR]
    assert task.runs.get(state=RunState.MISSED).count == 3


def test_a_paused_task_is_not_planned_and_its_paused_time_is_never_caught_up():
    task = scheduled("0 * * * *")
    assert task.pause("holidays")
    tick("default", NOON + 3 * HOUR)
    with clock_at(NOON + 3 * HOUR + MINUTE):
        assert task.resume()
    tick("default", NOON + 3 * HOUR + 2 * MINUTE)
    task.refresh_from_db()
    assert not Run.objects.exists()
    assert task.next_run == NOON + 4 * HOUR


def test_paused_time_is_not_caught_up_whatever_the_policy():
    tasks = [scheduled("* * * * *", missed=missed) for missed in Missed]
    for task in tasks:
        task.pause()
    with clock_at(NOON + DAY):
        for task in tasks:
            task.resume()
    tick("default", NOON + DAY + SECOND)
    assert not Run.objects.exists()


def test_a_task_that_is_enabled_waits_for_its_next_occurrence():
    """Others fire at once, for the last moment that the schedule had."""
    task = scheduled("0 0 1 1 *")
    task.pause()
    with clock_at(NOON + 300 * DAY):
        task.resume()
    tick("default", NOON + 300 * DAY)
    assert not Run.objects.exists()
    task.refresh_from_db()
    assert task.next_run == datetime(2028, 1, 1, tzinfo=UTC)


def test_a_task_with_a_longer_period_than_the_time_between_deploys_still_fires():
    """Others count from when the process began: the weekly job never comes."""
    task = scheduled("0 0 * * 1")  # Mondays
    for hours in range(0, 24 * 14, 5):  # each heartbeat lives for five hours
        heartbeat = Heartbeat()
        with clock_at(NOON + hours * HOUR):
            heartbeat._pass()
            heartbeat._lease.end()
    dues = task.runs.exclude(state=RunState.MISSED).values_list("due_at", flat=True)
    assert sorted(dues) == [NOON + 5 * DAY + 12 * HOUR, NOON + 12 * DAY + 12 * HOUR]


@pytest.mark.parametrize("missed", Missed.values)
@pytest.mark.parametrize("down", [SECOND / 10, SECOND, 4.9 * SECOND])
def test_a_heartbeat_that_restarts_within_the_due_second_loses_nothing(missed, down):
    task = scheduled("0 0 * * *", missed=missed)
    midnight = NOON + 12 * HOUR
    tick("default", midnight - SECOND / 10)
    tick("default", midnight + down)
    assert queued(task) == [midnight]
    assert not Run.objects.filter(state=RunState.MISSED).exists()


def test_a_new_schedule_whose_last_moment_was_just_now_does_not_fire_for_it():
    task = scheduled("0 0 * * *")
    with clock_at(NOON + SECOND):
        task.schedule = "0 12 * * *"
        task.save()
    tick("default", NOON + 2 * SECOND)
    assert not Run.objects.exists()
