"""Six fields that run every second of a minute are warned of, wherever a schedule is given."""

import pytest

from sisy.checks import configuration, stored
from sisy.checks.declared import check_declared_tasks
from sisy.models import task_with_callable
from sisy.schedules import Schedule
from sisy.schedules.suggestions import probably_meant
from sisy.syncing import discovery
from tests.app import jobs


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("0 0 9 * * *", "0 9 * * *"),  # Spring
        ("30 0 9 * * *", "0 9 * * * 30"),
        ("0 12 * * ? *", "0 12 * * *"),  # AWS without cron(...)
        ("0 10 15 * ? *", "0 10 15 * *"),
    ],
)
def test_a_suggestion_is_a_valid_schedule(typed, meant):
    assert probably_meant(typed) == meant
    Schedule(meant)


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * * *",
        "*/5 * * * * *",
        "0-5 9 * * * *",
        "0 9 * * * 0",
        "0 9 * * * 0-59",
        "0 9 * * *",
    ],
)
def test_an_intended_schedule_gets_no_warning(expression):
    assert probably_meant(expression) == ""
    Schedule(expression)


def assert_warns(messages, whose):
    [warning] = messages
    assert warning.id == "sisy.W014"
    assert warning.msg.startswith(
        f"The schedule '0 9 * * * *'{whose} matches every second of a minute"
    )
    assert (
        warning.hint
        == "Did you mean '9 * * * *'? To match every second, use '0-59' in the seconds field."
    )


def test_the_default_schedule_is_checked(settings):
    settings.SISY_DEFAULT_SCHEDULE = "0 9 * * * *"
    assert_warns(configuration.check_settings(), "")


@pytest.mark.django_db
def test_stored_tasks_are_checked():
    task_with_callable(jobs.noop, label="tea", schedule="0 9 * * * *").save()
    task_with_callable(jobs.noop, label="fine", schedule="0 9 * * * 0-59").save()
    assert_warns(stored.check_stored_tasks(databases=["default"]), " (UTC)")


def test_declared_tasks_are_checked(monkeypatch):
    declared = discovery.Declaration(
        name="tea",
        path="tests.app.jobs.noop",
        module="tests.app.jobs",
        fields={"schedule": "0 9 * * * *", "label": "tea"},
    )
    found = discovery.Discovered(declarations=[declared])
    monkeypatch.setattr("sisy.checks.declared.discover", lambda: found)
    assert_warns(check_declared_tasks(), " of the declared task")
