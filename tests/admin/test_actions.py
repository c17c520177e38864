"""What can a person do with tasks in the admin?"""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from sisy.heartbeat import tick
from sisy.models import Run, Task, task_with_callable
from sisy.models.declared import in_json
from tests.admin.pages import TASKS, messages_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def saved(label="sweep", **fields):
    task = task_with_callable("tests.app.jobs.noop", label=label, **fields)
    task.save()
    return task


def declared(**fields):
    """Return a task that code declares, and of which somebody has changed ``fields``."""
    task = saved()
    Task.objects.filter(pk=task.pk).update(name="shop.sweep", declaration=in_json(task), **fields)
    return Task.objects.get(pk=task.pk)


def act(browser, action, *tasks):
    """Choose an action in the list and return what the next page says."""
    data = {"action": action, "_selected_action": [task.pk for task in tasks]}
    return messages_of(browser.post(TASKS, data, follow=True))


def said(messages):
    return [message for message in messages if not message.startswith("No ")]


def test_pause_and_resume_name_the_user_and_skip_the_time_in_between(at_time):
    task = saved(schedule="* * * * *")
    browser = browser_of_superuser()
    assert said(act(browser, "pause", task)) == ["Paused 1 task."]
    task.refresh_from_db()
    assert (task.state, task.state_reason, task.next_run) == ("paused", "Paused by Sam.", None)
    at_time(NOON + timedelta(hours=1))
    assert said(act(browser, "resume", task)) == ["Resumed 1 task."]
    task.refresh_from_db()
    assert (task.state, task.next_run) == ("active", NOON + timedelta(hours=1, minutes=1))
    assert not Run.objects.exists()


def test_impossible_actions_are_reported():
    task = saved()
    browser = browser_of_superuser()
    assert said(act(browser, "resume", task)) == [
        "Nothing to resume: no selected task is paused or broken."
    ]
    Task.objects.filter(pk=task.pk).update(state="paused", timezone="Europe/Atlantis")
    [problem] = said(act(browser, "resume", task))
    assert problem.startswith("sweep: Unknown time zone 'Europe/Atlantis'.")


@pytest.mark.parametrize("action", ["pause", "resume", "back_to_code"])
def test_each_action_needs_its_permission(action):
    active, paused = declared(queue="slow"), saved("paused")
    paused.pause()
    permission = "change_task" if action == "back_to_code" else "pause_task"
    others = {"run_task", "pause_task", "change_task", "cancel_run"} - {permission}
    before = Task.objects.values_list("state", "queue").order_by("pk")
    was = list(before)
    act(browser_of("view_task", *others), action, active, paused)
    assert list(before.all()) == was
    act(browser_of("view_task", permission), action, active, paused)
    assert list(before.all()) != was


def test_deleting_tasks_cancels_queued_runs_and_keeps_history():
    task = saved(schedule="* * * * *")
    tick("default", NOON + timedelta(minutes=1))
    data = {"action": "delete_selected", "_selected_action": [task.pk], "post": "yes"}
    browser_of_superuser().post(TASKS, data)
    run = Run.objects.get()
    assert not Task.objects.exists()
    assert (run.task_id, run.task, run.state) == (task.pk, None, "cancelled")
    assert run.reason == "The task was deleted."


def test_manual_changes_to_a_declared_task_are_reset_to_code():
    task, other = declared(queue="slow"), saved("by hand", queue="slow")
    assert said(act(browser_of_superuser(), "back_to_code", task, other)) == [
        "Reset 1 task to code."
    ]
    assert set(Task.objects.values_list("label", "queue")) == {
        ("sweep", "default"),
        ("by hand", "slow"),
    }
    assert str(LogEntry.objects.get(object_id=task.pk)).endswith("Reset to code: queue.")
