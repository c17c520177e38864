"""Data that are nested too deeply: refused when they are saved, shown if they are there."""

import json

import pytest
from django.db import connection

from sisy.models import Run, Task
from sisy.records.outcome import of_value
from tests.admin.pages import errors_of, form_of, page_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.addresses import PARTS, addresses, is_server_error
from tests.dashboard.pressing import press
from tests.support.moments import HOUR, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

# SQLite takes no JSON of more than 1000 levels. The pages see no difference between servers.
DEPTHS = [600, 990] if connection.vendor == "sqlite" else [990]


def nested_text(depth):
    return f'{{"password": "s3cret", "a": {"[" * (depth - 1)}{"]" * (depth - 1)}}}'


def stored_deep(depth):
    """Return a task and a run with data that something else has stored."""
    if connection.vendor == "mysql":
        pytest.skip("it takes no JSON of more than 100 levels, MariaDB none of more than 32")
    task = scheduled(userdata={})
    run = task.run_now()
    with connection.cursor() as cursor:
        text = nested_text(depth)
        cursor.execute("UPDATE sisy_task SET _extra_data = %s WHERE id = %s", [text, task.pk])
        cursor.execute(
            "UPDATE sisy_run SET payload = %s, result = %s, state = 'succeeded' WHERE id = %s",
            [text, text, run.pk],
        )
    return task, run


def test_a_task_with_too_deep_userdata_is_not_saved():
    task = scheduled()
    for depth in (31, 600, 5000):
        value = {}
        task.userdata["a"] = value
        for _ in range(depth):
            value["a"] = {}
            value = value["a"]
        with pytest.raises(ValueError, match="userdata must be nested at most 30 levels deep"):
            task.save()
    task.userdata["a"] = 1
    task.save()
    with pytest.raises(ValueError, match="at most 30 levels deep"):
        Task.run_once("tests.app.jobs.noop", json.loads(nested_text(600)))


def test_a_return_value_that_is_too_deep_is_not_stored():
    value = [[]]
    for _ in range(5000):
        value = [value]
    outcome = of_value((NOON, NOON), value)
    assert outcome.state == "succeeded"
    assert outcome.reason.endswith(": it is nested more than 30 levels deep.")


@pytest.mark.parametrize("depth", DEPTHS)
def test_data_of_any_depth_are_read_copied_and_left_alone(depth):
    task, run = stored_deep(depth)
    again = Task.objects.get(pk=task.pk)
    assert not again.changed_columns()
    again.label = "other"
    again.save()
    assert Run.objects.get(pk=run.pk).result["password"] == "s3cret"
    again.refresh_from_db()
    assert again.twin().label == "other"


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_page_shows_data_of_any_depth_and_none_of_its_secrets(depth):
    task, run = stored_deep(depth)
    browser = browser_of_superuser()
    browser.raise_request_exception = False
    for address in addresses(task=task.pk, run=run.pk, queue=1, verb="run", name="run_now"):
        for query in ("", PARTS):
            answer = browser.get(address + query)
            assert not is_server_error(answer), address
    page = browser.get(f"/sisy/runs/{run.pk}/").content.decode()
    assert "[" * (depth - 60) in page
    assert "s3cret" not in page
    reader = browser_of("view_task", "view_run_details")
    page = reader.get(f"/sisy/tasks/{task.pk}/").content.decode()
    assert "•••" in page
    assert "s3cret" not in page


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("verb", ["run", "cancel", "back_to_code", "pause", "resume"])
def test_no_button_fails_on_nested_data(depth, verb):
    task, run = stored_deep(depth)
    browser = browser_of_superuser()
    browser.raise_request_exception = False
    answer = press(browser, f"/sisy/tasks/do/{verb}/", {"pk": task.pk})
    assert answer.status_code == 200
    if verb == "run":
        retried = browser.post("/sisy/runs/do/retry/", {"pk": run.pk}, follow=True)
        assert retried.status_code == 200


@pytest.mark.parametrize("depth", [31, 600, 5000, 200_000])
def test_the_task_form_rejects_too_deep_data(depth):
    task = scheduled()
    browser = browser_of_superuser()
    data = form_of(browser.get(page_of(task)))
    answer = browser.post(page_of(task), {**data, "_extra_data": nested_text(depth)})
    [message] = errors_of(answer)["_extra_data"]
    assert "30 levels" in message
    assert Task.objects.get(pk=task.pk).userdata == {}


def test_secrets_are_masked_for_everyone_who_cannot_edit_the_task():
    """Tasks that run once can be changed by nobody."""
    repeats = scheduled(userdata={"password": "s3cret", "shop": "north"})
    once = Task.run_once("tests.app.jobs.noop", {"api_key": "s3cret"}, delay_until=NOON + HOUR)
    reader = browser_of("view_task", "view_run_details")
    for browser, task in ((reader, repeats), (reader, once), (browser_of_superuser(), once)):
        page = browser.get(f"/sisy/tasks/{task.pk}/").content.decode()
        assert "•••" in page
        assert "s3cret" not in page
        page = browser.get(page_of(task)).content.decode()
        assert not any(words in page for words in ("•••", "s3cret", "north"))
    assert "s3cret" in browser_of_superuser().get(page_of(repeats)).content.decode()
    assert "•••" not in browser_of("view_task").get(f"/sisy/tasks/{repeats.pk}/").content.decode()
