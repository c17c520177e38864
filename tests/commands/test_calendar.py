"""Moments at the edges of the calendar are answered or rejected, wherever people give them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from sisy.models import Task, task_with_callable
from sisy.testing import sisy_time
from tests.app import jobs
from tests.commands.calling import said

pytestmark = pytest.mark.django_db

MIN, MAX = (edge.replace(tzinfo=UTC) for edge in (datetime.min, datetime.max))  # noqa: DTZ901
AHEAD = timezone(timedelta(hours=14))
OUTSIDE = [
    "0001-01-01",
    "0001-01-01T00:00:00+14:00",
    "0999-12-31T23:59:59Z",
    "9999-01-02",
    "9999-12-31T23:59:59-12:00",
]
COMMANDS = [
    "sisy_tasks why tea",
    "sisy_tasks backfill tea 2026-05-05",
    "sisy_simulate 2026-05-05",
]


def saved(zone="America/New_York", **fields):
    task = task_with_callable(jobs.noop, label="tea", schedule="@daily", timezone=zone, **fields)
    task.save()
    return task


@pytest.mark.parametrize("moment", OUTSIDE)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
def test_a_command_rejects_a_moment_outside_of_the_calendar_in_one_line(
    command, moment, zone, settings
):
    settings.TIME_ZONE = zone
    saved(zone)
    with pytest.raises(CommandError) as rejection:
        said(f"{command} {moment}")
    assert str(rejection.value).endswith(
        "is not a valid date and time. Use a year from 1000 to 9998."
    )
    assert "\n" not in str(rejection.value)


@pytest.mark.parametrize("moment", ["1000-01-02", "9998-12-30"])
@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
def test_a_command_answers_near_the_edges(moment, zone, settings):
    settings.TIME_ZONE = zone
    saved(zone)
    assert said(f"sisy_tasks why tea {moment}").strip().endswith(".")
    following = datetime.fromisoformat(moment) + timedelta(days=1)
    assert "tea" in said(f"sisy_simulate {moment} {following.isoformat()} --csv")


@pytest.mark.parametrize("name", ["start_running", "end_running"])
@pytest.mark.parametrize("moment", [MIN, MAX])
def test_a_task_rejects_a_window_outside_of_the_calendar(name, moment):
    with pytest.raises(ValueError, match=rf"{name} must be within the years 1000 to 9998, not "):
        saved(**{name: moment})
    task = saved()
    with pytest.raises(ValidationError, match="Use a year from 1000 to 9998"):
        Task.objects.filter(pk=task.pk).update(**{name: moment.replace(tzinfo=AHEAD)})


def test_a_run_is_not_delayed_beyond_the_calendar():
    with pytest.raises(ValueError, match="delay_until must be within the years 1000 to 9998"):
        Task.run_once(jobs.noop, delay_until=MAX)


def test_the_time_of_tests_lies_in_the_calendar():
    with (
        pytest.raises(ValueError, match="Use a year from 1000 to 9998"),
        sisy_time("9999-06-01"),
    ):
        pass
