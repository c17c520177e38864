"""Moments are the same in the database and out, with and without USE_TZ.

Django takes USE_TZ into account when it sets up its models and connections: the last test runs
the others once more in a project that has it off.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from sisy.heartbeat import tick
from sisy.models import Run, Task, task_with_callable
from tests.app import jobs
from tests.support.moments import MINUTE

pytestmark = pytest.mark.django_db

# In New York, the hour from 1:00 to 2:00 came twice on this day.
FIRST_PASS = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
SECOND_PASS = FIRST_PASS + timedelta(hours=1)


def as_users_write(moment):
    """Return a moment as people write it in this project: naive where USE_TZ is off."""
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def test_a_moment_that_is_given_comes_back_as_an_aware_one_in_utc(at_time):
    at_time(FIRST_PASS)
    start = FIRST_PASS + timedelta(days=1)
    task_with_callable(jobs.noop, start_running=as_users_write(start)).save()
    kept = Task.objects.get()
    assert (kept.start_running, kept.start_running.tzinfo) == (start, UTC)
    assert Task.objects.get(start_running=start) == kept
    assert Task.objects.get(start_running__gt=start - MINUTE) == kept


def test_a_delay_is_taken_as_people_write_it(at_time):
    at_time(FIRST_PASS)
    Task.run_once(jobs.noop, delay_until=as_users_write(FIRST_PASS + timedelta(days=1)))
    assert Run.objects.get().ready_at == FIRST_PASS + timedelta(days=1)


def test_both_passes_of_a_repeated_hour_are_told_apart(at_time):
    at_time(FIRST_PASS)
    task_with_callable(jobs.noop, schedule="*/30 * * * *").save()
    for moment in (FIRST_PASS + 30 * MINUTE, SECOND_PASS, SECOND_PASS + 30 * MINUTE):
        tick("default", moment)
    due = list(Run.objects.order_by("due_at").values_list("due_at", flat=True))
    assert due == [FIRST_PASS + 30 * MINUTE, SECOND_PASS, SECOND_PASS + 30 * MINUTE]
    assert Task.objects.get().next_run == SECOND_PASS + 60 * MINUTE


def test_the_database_holds_utc(at_time):
    at_time(FIRST_PASS)
    task_with_callable(jobs.noop, schedule="30 * * * *").save()
    column = "next_run AT TIME ZONE 'UTC'" if connection.vendor == "postgresql" else "next_run"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT CAST({column} AS varchar(19)) FROM sisy_task")
        [(text,)] = cursor.fetchall()
    assert text[:19] == "2026-11-01 06:30:00"


def test_it_is_planned_by_the_clock_of_the_database():
    """Nobody has set the clock here."""
    task = task_with_callable(jobs.noop, schedule="* * * * * *")
    task.save()
    assert abs(task.next_run - datetime.now(UTC)) < 2 * MINUTE


@pytest.mark.skipif(not settings.USE_TZ, reason="it is the one that starts the others")
def test_all_this_holds_in_a_project_without_time_zones():
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "SISY_TEST_USE_TZ": "0",
        "SISY_TEST_TIME_ZONE": "America/New_York",
        "SISY_TEST_DB": f"test_sisy_no_tz_{os.getpid()}",
    }
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider", "-n", "0"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed, 1 skipped" in done.stdout
