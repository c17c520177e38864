"""The page of a task lists who changed its settings, and reverts a change."""

import re

import pytest

from sisy.models import Run, Task, TaskChange, TaskState
from sisy.models.declared import in_json
from sisy.syncing.discovery import Discovered
from sisy.syncing.sync import sync
from tests.admin.pages import form_of, history_of, messages_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def changes_of(task, browser=None):
    browser = browser or browser_of_superuser()
    return text_of(browser.get(f"/sisy/tasks/{task.pk}/", {"parts": "changes"}))


def edit(task, **values):
    """Change fields in the form of the admin, as Sam."""
    browser = browser_of_superuser()
    page = browser.get(f"/admin/sisy/task/{task.pk}/change/")
    form = {**form_of(page), **values}
    done = browser.post(f"/admin/sisy/task/{task.pk}/change/", form)
    assert done.status_code == 302, done.context["adminform"].form.errors


def address_of(task):
    return f"/sisy/tasks/{task.pk}/changes/{TaskChange.objects.latest('pk').pk}/revert/"


def revert(task, browser=None):
    browser = browser or browser_of_superuser()
    shown = browser.get(address_of(task)).content.decode()
    seen = re.search(r'name="seen" value="(\w+)"', shown)[1]
    return messages_of(browser.post(address_of(task), {"seen": seen}, follow=True))


def test_a_change_in_the_admin_is_shown_with_its_author_and_values():
    task = scheduled("0 9 * * *", overlap="skip")
    edit(task, schedule="0 7 * * *", timeout="00:01:30", overlap="allow")
    shown = changes_of(task)
    assert "12:00:00 Sam Revert…" in shown
    assert "schedule before: 0 9 * * * → after: 0 7 * * *" in shown
    assert "timeout before: — → after: 1 min 30 s" in shown
    assert shown.endswith("12:00:00 Created.")


def test_pauses_are_shown_as_sentences():
    task = scheduled()
    task.pause("too hot", NOON + HOUR)
    task.resume()
    shown = changes_of(task)
    assert "Code Resumed." in shown
    assert "Code Paused until 2026-05-05 13:00:00: too hot" in shown
    assert "Revert…" not in shown


def test_a_changed_declaration_is_named_as_the_author():
    task = scheduled("0 9 * * *", label="report")
    Task.objects.filter(pk=task.pk).update(name="shop.report", declaration=in_json(task))
    sync("default", Discovered(declarations=[]), NOON)
    assert "Declaration in code Paused: No longer declared in code." in changes_of(task)


def test_user_data_is_compared_by_key_and_secrets_are_masked():
    task = scheduled(
        userdata={"n": 1, "api_token": "s3cr3t", "same": 1, "deep": {"password": "x"}}
    )
    edit(
        task,
        _extra_data='{"n": 2, "api_token": "n3w", "same": 1, "deep": {"password": "x", "a": 1}}',
    )
    page = browser_of_superuser().get(f"/sisy/tasks/{task.pk}/").content.decode()
    shown = changes_of(task)
    assert "user data: n before: 1 → after: 2" in shown
    assert "user data: api_token changed" in shown
    assert "user data: same" not in shown
    assert "s3cr3t" not in page
    assert "n3w" not in page
    hidden = changes_of(task, browser_of("view_task"))
    assert "user data changed" in hidden
    assert "api_token" not in hidden


def test_old_changes_are_folded():
    task = scheduled()
    for number in range(1, 8):
        task.priority = number
        task.save()
    assert "2 older changes" in changes_of(task)


def test_a_change_is_reverted_after_its_effect_was_shown():
    task = scheduled("0 9,18 * * *")
    edit(task, schedule="0 12,18 * * *", queue="slow")
    shown = text_of(browser_of_superuser().get(address_of(task)))
    assert "schedule before: 0 12,18 * * * → after: 0 9,18 * * *" in shown
    assert "queue before: slow → after: default" in shown
    assert "+ 2026-05-06 09:00:00 new" in shown
    assert revert(task) == ["Reverted: schedule, queue."]
    task.refresh_from_db()
    assert (task.schedule, task.queue) == ("0 9,18 * * *", "default")
    assert task.next_run == NOON + 6 * HOUR
    assert "Reverted the change of 2026-05-05 12:00:00: schedule, queue." in history_of(task)[-1]
    newest = TaskChange.objects.latest("pk")
    assert (newest.by, newest.fields["queue"]) == ("Sam", ["slow", "default"])


def test_durations_and_empty_values_are_reverted():
    task = scheduled(timeout=MINUTE)
    edit(task, timeout="")
    assert revert(task) == ["Reverted: timeout."]
    assert Task.objects.get().timeout == MINUTE


def test_what_was_changed_back_is_not_reverted_again():
    task = scheduled()
    edit(task, queue="slow")
    first = address_of(task)
    edit(Task.objects.get(), queue="default")
    assert "Nothing to revert" in text_of(browser_of_superuser().get(first))


def test_a_revert_that_would_change_something_else_is_shown_again():
    task = scheduled()
    edit(task, queue="slow")
    browser = browser_of_superuser()
    done = browser.post(address_of(task), {"seen": "stale"}, follow=True)
    assert messages_of(done) == ["The task was changed in the meantime. Check the preview again."]
    assert Task.objects.get().queue == "slow"


def test_a_value_that_is_no_longer_valid_is_rejected(settings):
    task = scheduled()
    edit(task, schedule="0 9 * * *")
    TaskChange.objects.update(fields={"schedule": ["61 * * * *", "0 9 * * *"]})
    shown = text_of(browser_of_superuser().get(address_of(task)))
    assert "61 is out of range" in shown
    assert "Applies from now on" not in shown


def test_only_those_who_may_change_tasks_revert_a_change():
    task = scheduled()
    edit(task, queue="slow")
    browser = browser_of("view_task", "pause_task", "run_task")
    assert "Revert…" not in changes_of(task, browser)
    assert browser.get(address_of(task)).status_code == 403
    assert browser.post(address_of(task), {"seen": ""}).status_code == 403


def test_hidden_fields_are_reverted_only_with_their_permission():
    task = scheduled(userdata={"n": 1})
    edit(task, _extra_data='{"n": 2}')
    browser = browser_of("view_task", "change_task")
    shown = text_of(browser.get(address_of(task)))
    assert "sisy.view_run_details" in shown
    assert "n before" not in shown
    assert browser.post(address_of(task), {"seen": ""}).status_code == 403
    assert revert(task) == ["Reverted: user data."]
    assert Task.objects.get().userdata == {"n": 1}


def test_the_change_of_another_task_is_not_found():
    task, other = scheduled(), scheduled()
    edit(task, queue="slow")
    assert browser_of_superuser().get(address_of(other)).status_code == 404


def test_a_task_that_runs_once_has_nothing_to_revert():
    task = Task.run_once("tests.app.jobs.noop")
    assert "Created." in changes_of(task)
    assert Task.objects.get().state == TaskState.RETIRED
    assert Run.objects.count() == 1
