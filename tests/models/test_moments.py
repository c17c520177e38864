"""Moments are the same in the database and out, in whichever zone anything is.

Django takes USE_TZ and the zone of a database into account when it sets up its models and
connections: the last test runs the others once more in projects that have other ones.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Case, F, Max, Min, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from sisy.heartbeat import tick
from sisy.models import Process, Role, Run, Task, task_with_callable
from sisy.records.fields import MomentField
from sisy.testing.timeline import next_moment
from tests.app import jobs
from tests.support.moments import MINUTE

pytestmark = pytest.mark.django_db

# In New York, the hour from 1:00 to 2:00 came twice on this day.
FIRST_PASS = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
SECOND_PASS = FIRST_PASS + timedelta(hours=1)


def as_users_write(moment):
    """Return a moment as people write it in this project: naive where USE_TZ is off."""
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def test_a_moment_is_read_back_as_aware_and_in_utc(at_time):
    at_time(FIRST_PASS)
    start = FIRST_PASS + timedelta(days=1)
    task_with_callable(jobs.noop, start_running=as_users_write(start)).save()
    kept = Task.objects.get()
    assert (kept.start_running, kept.start_running.tzinfo) == (start, UTC)
    assert Task.objects.get(start_running=start) == kept
    assert Task.objects.get(start_running__gt=start - MINUTE) == kept


def test_a_delay_may_be_naive_or_aware(at_time):
    at_time(FIRST_PASS)
    Task.run_once(jobs.noop, delay_until=as_users_write(FIRST_PASS + timedelta(days=1)))
    assert Run.objects.get().ready_at == FIRST_PASS + timedelta(days=1)


def test_both_passes_of_a_repeated_hour_are_distinguished(at_time):
    at_time(FIRST_PASS)
    task_with_callable(jobs.noop, schedule="*/30 * * * *").save()
    for moment in (FIRST_PASS + 30 * MINUTE, SECOND_PASS, SECOND_PASS + 30 * MINUTE):
        tick("default", moment)
    due = list(Run.objects.order_by("due_at").values_list("due_at", flat=True))
    assert due == [FIRST_PASS + 30 * MINUTE, SECOND_PASS, SECOND_PASS + 30 * MINUTE]
    assert Task.objects.get().next_run == SECOND_PASS + 60 * MINUTE


def test_the_database_stores_utc(at_time):
    at_time(FIRST_PASS)
    task_with_callable(jobs.noop, schedule="30 * * * *").save()
    column = "next_run AT TIME ZONE 'UTC'" if connection.vendor == "postgresql" else "next_run"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT CAST({column} AS varchar(19)) FROM sisy_task")
        [(text,)] = cursor.fetchall()
    assert text[:19] == "2026-11-01 06:30:00"


def test_planning_uses_the_clock_of_the_database():
    """Nobody has set the clock here."""
    task = task_with_callable(jobs.noop, schedule="* * * * * *")
    task.save()
    assert abs(task.next_run - datetime.now(UTC)) < 2 * MINUTE


def test_aggregates_and_expressions_return_aware_moments(at_time):
    """Aggregates, other expressions, and what is compared or asked for by our own statements."""
    at_time(FIRST_PASS)
    task_with_callable(jobs.noop, schedule="*/30 * * * *", overlap="allow").save()
    for moment in (FIRST_PASS + 30 * MINUTE, SECOND_PASS, SECOND_PASS + 30 * MINUTE):
        tick("default", moment)
    runs = Run.objects.order_by("due_at")
    first, last = FIRST_PASS + 30 * MINUTE, SECOND_PASS + 30 * MINUTE
    found = runs.aggregate(first=Min("due_at"), last=Max("due_at"))
    assert found == {"first": first, "last": last}
    either = runs.annotate(
        either=Coalesce("occurrence_at", "due_at"),
        newest=Subquery(Run.objects.order_by("-due_at").values("due_at")[:1]),
    )
    assert list(either.values_list("either", "newest")[:1]) == [(first, last)]
    chosen = Case(When(due_at__gt=first, then=F("due_at")), default=Value(first, MomentField()))
    runs.update(started_at=chosen, dispatched_at=Value(last, MomentField()))
    assert list(runs.values_list("started_at", flat=True)) == [first, SECOND_PASS, last]
    assert set(runs.values_list("dispatched_at", flat=True)) == {last}
    assert list(runs.filter(due_at__in=[first, last]).values_list("due_at", flat=True)) == [
        first,
        last,
    ]
    assert runs.filter(due_at__range=(first, last), due_at__lte=F("ready_at")).count() == 3
    assert runs.filter(due_at__lt=last).count() == 2
    runs.update(ready_at=F("due_at"))
    assert next_moment("default", first) == SECOND_PASS
    assert next_moment("default", last) == last + 30 * MINUTE
    runs.update(occurrence_at=F("due_at"), finished_at=last)
    assert set(runs.values_list("finished_at", flat=True)) == {last}
    [task] = Task.objects.due(last + 30 * MINUTE)
    [run] = Run.objects.filter(pk=runs[0].pk)
    run.refresh_from_db()
    assert (task.next_run, run.occurrence_at) == (last + 30 * MINUTE, first)


def test_a_lease_is_valid_for_its_duration(at_time):
    process = Process.join(Role.WORKER, using="default", now=FIRST_PASS, lease=MINUTE)
    assert process.renew(SECOND_PASS, MINUTE)
    assert Process.objects.alive(SECOND_PASS + MINUTE / 2).get() == process
    assert not Process.objects.alive(SECOND_PASS + 2 * MINUTE).exists()


def test_a_save_in_another_time_zone_is_not_an_edit(at_time):
    at_time(FIRST_PASS)
    start = as_users_write(FIRST_PASS + timedelta(days=1))
    task_with_callable(jobs.noop, start_running=start).save()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL TIME ZONE 'Asia/Kathmandu'")
    assert not Task.objects.with_stale_timing().exists()


ELSEWHERE = [
    {"SISY_TEST_USE_TZ": "0", "SISY_TEST_TIME_ZONE": "America/New_York"},
    {"SISY_TEST_DATABASE_TIME_ZONE": "America/New_York"},
    {"SISY_TEST_DATABASE_TIME_ZONE": "Australia/Lord_Howe", "SISY_TEST_TIME_ZONE": "Asia/Tokyo"},
]


@pytest.mark.skipif("SISY_TEST_ELSEWHERE" in os.environ, reason="it is the one that starts them")
@pytest.mark.parametrize("settings_of_project", ELSEWHERE)
def test_moments_are_correct_in_projects_with_other_zones(settings_of_project):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        **settings_of_project,
        "SISY_TEST_ELSEWHERE": "1",
        "SISY_TEST_DB": f"test_sisy_no_tz_{os.getpid()}",
    }
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider", "-n", "0"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed, 3 skipped" in done.stdout
