"""The secret address of a task's monitor, in the form of the task and elsewhere."""

import json

import pytest
from django.urls import reverse

from sisy.models import Task
from sisy.reports import disclosure
from tests.admin.people import browser_of, browser_of_superuser
from tests.commands.calling import said
from tests.support.records import scheduled

pytestmark = pytest.mark.django_db

SECRET = "5bf66975-d4c7-4bf5"
ADDRESS = f"https://hc-ping.com/{SECRET}"


@pytest.fixture
def task():
    return scheduled(label="report", ping=ADDRESS)


def page_of(task):
    return reverse("admin:sisy_task_change", args=[task.pk])


def test_the_form_shows_only_the_host(task):
    page = browser_of_superuser().get(page_of(task)).content.decode()
    assert "https://hc-ping.com/•••" in page
    assert SECRET not in page


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("https://hc-ping.com/•••", ADDRESS),
        ("https://example.org/other", "https://example.org/other"),
        ("", ""),
    ],
)
def test_saving_the_form_keeps_or_changes_the_address(task, given, stored):
    browser = browser_of_superuser()
    form = browser.get(page_of(task)).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    values = {name: "" if value is None else value for name, value in values.items()}
    answer = browser.post(page_of(task), values | {"ping": given, "_extra_data": "{}"})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert Task.objects.get().ping == stored


def test_an_invalid_address_is_rejected_without_being_quoted(task):
    task.ping = f"ftp://hc-ping.com/{SECRET}"
    with pytest.raises(ValueError, match="ping must be an address such as") as caught:
        task.save()
    assert SECRET not in str(caught.value)


def test_users_who_may_not_see_secrets_do_not_see_the_field(task):
    page = browser_of("view_task", "change_task").get(page_of(task)).content.decode()
    assert "hc-ping.com" not in page
    assert 'name="ping"' not in page


def test_the_command_does_not_show_it(task):
    assert SECRET not in said("sisy_tasks show report")
    assert SECRET not in json.dumps(said("sisy_tasks list"))


def test_differences_from_code_show_only_the_host():
    assert disclosure.masked_field("ping", ADDRESS) == "https://hc-ping.com/•••"
    assert disclosure.masked_field("ping", "") == ""
    assert disclosure.masked_field("label", "tea") == "tea"
