"""Tasks are made by `task_with_callable`."""

import pytest

from sisy.exceptions import CallableError
from sisy.models import (
    Missed,
    OnLost,
    Overlap,
    Task,
    task_with_callable,
)
from tests.app import jobs
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def owners_columns(task):
    return {
        name: getattr(task, name)
        for name in ("label", "schedule", "timezone", "userdata", "queue", "iterations", "overlap")
    }


def test_a_task_has_sensible_defaults(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    assert owners_columns(task_with_callable(jobs.noop)) == {
        "label": "tests.app.jobs.noop",
        "schedule": "* * * * *",
        "timezone": "Europe/Berlin",
        "userdata": {},
        "queue": "default",
        "iterations": None,
        "overlap": Overlap.SKIP,
    }


def test_the_default_schedule_is_a_setting(settings):
    settings.SISY_DEFAULT_SCHEDULE = "30 4 * * *"
    assert task_with_callable(jobs.noop).schedule == "30 4 * * *"


def test_a_long_path_is_cut_to_make_a_label(monkeypatch):
    name = "b" * 400
    monkeypatch.setattr(jobs, name, jobs.noop, raising=False)
    task = task_with_callable(f"tests.app.jobs.{name}")
    task.save()
    assert (len(task.label), len(task.target_path)) == (255, 415)


def test_nothing_is_stored_and_nothing_planned_before_save():
    task = task_with_callable(jobs.noop)
    assert (task.pk, task.next_run) == (None, None)
    assert not Task.objects.exists()
    task.save()
    assert Task.objects.get().next_run == NOON + MINUTE


def test_every_field_of_the_owner_can_be_set_and_is_stored():
    fields = {
        "label": "all of them",
        "schedule": "0 4 * * * 30",
        "userdata": {"n": 1, "deep": [{"ü": None}]},
        "start_running": NOON + DAY,
        "end_running": NOON + 30 * DAY,
        "iterations": 5,
        "timezone": "America/New_York",
        "queue": "slow",
        "wait_for_schedule": False,
        "priority": -100,
        "missed": Missed.ALL,
        "missed_window": 2 * HOUR,
        "overlap": Overlap.ALLOW,
        "max_attempts": 3,
        "retry_delay": SECOND,
        "retry_backoff": 1.5,
        "retry_max_delay": MINUTE,
        "on_lost": OnLost.FAIL,
        "timeout": 10 * MINUTE,
        "spread": 5 * SECOND,
    }
    task = task_with_callable(jobs.noop, **fields)
    task.save()
    kept = Task.objects.get()
    assert {name: getattr(kept, name) for name in fields} == fields
    assert (kept.target_path, kept.target_pk) == ("tests.app.jobs.noop", None)


def test_overlap_also_accepts_a_boolean():
    assert task_with_callable(jobs.noop, allow_overlap=True).overlap == Overlap.ALLOW
    task = task_with_callable(jobs.noop, allow_overlap=False)
    assert (task.overlap, task.allow_overlap) == (Overlap.SKIP, False)


@pytest.mark.parametrize("name", ["labell", "next_run", "state", "target_error", "pk"])
def test_a_field_of_the_scheduler_is_rejected(name):
    with pytest.raises(TypeError) as caught:
        task_with_callable(jobs.noop, **{name: "x"})
    assert str(caught.value) == (
        f"Unknown task field {name!r}. Valid fields: alert_after, end_running, engine, "
        "expected_duration, history_runs, iterations, label, max_attempts, missed, "
        "missed_window, note, on_lost, overlap, ping, priority, queue, retry_backoff, "
        "retry_delay, retry_max_delay, schedule, spread, stalled_after, start_running, "
        "start_within, success_every, target_path, target_pk, timeout, timezone, userdata, "
        "wait_for_schedule."
    )


def test_a_target_is_checked_when_the_task_is_made():
    with pytest.raises(CallableError):
        task_with_callable(jobs.two_parameters)
