"""What can a person do with tasks?"""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from sisy.heartbeat import tick
from sisy.models import Run, Task, task_with_callable
from sisy.models.declared import in_json
from tests.admin.pages import RUNS, TASKS, messages_of, page_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def saved(label="sweep", **fields):
    task = task_with_callable("tests.app.jobs.noop", label=label, **fields)
    task.save()
    return task


def act(browser, action, *tasks):
    """Choose an action in the list and return what the next page says."""
    data = {"action": action, "_selected_action": [task.pk for task in tasks]}
    return messages_of(browser.post(TASKS, data, follow=True))


def said(messages):
    return [message for message in messages if not message.startswith("No ")]


def test_run_now_submits_a_run_of_each_task():
    first, second = saved("first"), saved("second", userdata={"n": 1})
    assert "2 runs wait for a worker." in act(browser_of_superuser(), "run_now", first, second)
    runs = Run.objects.order_by("pk")
    assert [(run.label, run.origin, run.state) for run in runs] == [
        ("first", "person", "waiting"),
        ("second", "person", "waiting"),
    ]
    assert runs[1].payload == {"n": 1}
    assert str(LogEntry.objects.get(object_id=first.pk)).endswith(f"Asked for run {runs[0].pk}.")


def test_pause_and_resume_name_who_did_it_and_never_fire_for_the_time_between(at_time):
    task = saved(schedule="* * * * *")
    browser = browser_of_superuser()
    assert said(act(browser, "pause", task)) == ["1 task is paused."]
    task.refresh_from_db()
    assert (task.state, task.state_reason, task.next_run) == ("paused", "Paused by Sam.", None)
    at_time(NOON + timedelta(hours=1))
    assert said(act(browser, "resume", task)) == ["1 task goes on."]
    task.refresh_from_db()
    assert (task.state, task.next_run) == ("active", NOON + timedelta(hours=1, minutes=1))
    assert not Run.objects.exists()


def test_what_cannot_be_done_is_said():
    task = saved()
    browser = browser_of_superuser()
    assert said(act(browser, "resume", task)) == ["0 tasks go on."]
    Task.objects.filter(pk=task.pk).update(state="paused", timezone="Europe/Atlantis")
    problem, done = said(act(browser, "resume", task))
    assert problem.startswith("sweep: There is no time zone 'Europe/Atlantis'.")
    assert done == "0 tasks go on."


def test_cancel_calls_off_what_waits_and_says_who_did_it():
    task = saved(schedule="* * * * *")
    tick("default", NOON + timedelta(minutes=1))
    done = act(browser_of_superuser(), "cancel_runs", task)
    assert said(done) == ["1 run is cancelled."]
    run = Run.objects.get()
    assert (run.state, run.reason) == ("cancelled", "Cancelled by Sam.")
    assert str(LogEntry.objects.get(object_id=task.pk)).endswith("Cancelled 1 run.")


def test_cancel_asks_what_goes_on_to_end_and_says_that_it_takes_its_time():
    task, other = saved("mine", schedule="* * * * *"), saved("other", schedule="* * * * *")
    for minute in (1, 2):
        tick("default", NOON + timedelta(minutes=minute))
    going = task.runs.last()
    Run.objects.filter(pk=going.pk).update(state="running")
    done = act(browser_of_superuser(), "cancel_runs", task)
    assert said(done) == [
        "2 runs are cancelled. Those that go on end once their function has noticed."
    ]
    going.refresh_from_db()
    assert (going.state, going.cancel_reason) == ("running", "Cancelled by Sam.")
    assert {run.state for run in other.runs.all()} == {"waiting"}


@pytest.mark.parametrize("action", ["run_now", "pause", "resume", "cancel_runs"])
def test_each_action_needs_its_permission(action):
    task = saved(schedule="* * * * *")
    tick("default", NOON + timedelta(minutes=1))
    act(browser_of("view_task", "change_task"), action, task)
    task.refresh_from_db()
    assert task.state == "active"
    assert [run.state for run in Run.objects.all()] == ["waiting"]


@pytest.mark.parametrize(
    ("permission", "buttons"),
    [
        ("run_task", ["Run now"]),
        ("pause_task", ["Pause"]),
        ("cancel_run", ["Cancel runs"]),
    ],
)
def test_the_page_of_a_task_has_the_buttons_that_somebody_may_press(permission, buttons):
    page = browser_of("view_task", permission).get(page_of(saved()))
    assert [words for _, words in page.context["sisy_buttons"]] == buttons


def test_a_button_does_what_it_says_and_shows_the_task_again():
    task = saved()
    browser = browser_of_superuser()
    page = browser.post(f"/admin/sisy/task/{task.pk}/do/pause/", follow=True)
    assert page.redirect_chain == [(page_of(task), 302)]
    assert messages_of(page) == ["1 task is paused."]
    assert [words for _, words in page.context["sisy_buttons"]] == [
        "Run now",
        "Resume",
        "Cancel runs",
    ]


def test_a_button_needs_a_post_a_permission_and_a_known_action():
    task = saved()
    address = f"/admin/sisy/task/{task.pk}/do"
    assert browser_of("run_task").post(f"{address}/run_now/").status_code == 403
    browser = browser_of("view_task", "run_task")
    assert browser.get(f"{address}/run_now/").status_code == 403
    assert browser.post(f"{address}/pause/").status_code == 403
    assert browser.post(f"{address}/delete_selected/").status_code == 403
    assert not Run.objects.exists()


def test_deleting_tasks_cancels_what_waits_and_keeps_history():
    task = saved(schedule="* * * * *")
    tick("default", NOON + timedelta(minutes=1))
    data = {"action": "delete_selected", "_selected_action": [task.pk], "post": "yes"}
    browser_of_superuser().post(TASKS, data)
    run = Run.objects.get()
    assert not Task.objects.exists()
    assert (run.task_id, run.state, run.reason) == (None, "cancelled", "The task was deleted.")


def test_the_page_of_a_task_shows_its_latest_runs():
    task = saved(schedule="* * * * *")
    tick("default", NOON + timedelta(minutes=1))
    page = browser_of_superuser().get(page_of(task))
    assert f"Run State Due Late Took Reason {Run.objects.get().pk} waiting" in text_of(page)
    assert f"{RUNS}?task__id__exact={task.pk}" in page.content.decode()


def test_the_page_of_a_task_counts_what_came_of_it_also_of_runs_that_were_pruned():
    task = saved(schedule="* * * * *", missed="skip")
    tick("default", NOON + timedelta(hours=1))
    Task.objects.filter(pk=task.pk).update(pruned={"succeeded": 1200, "dreaming": 1})
    page = text_of(browser_of_superuser().get(page_of(task)))
    assert "By state: waiting 1 succeeded 1,200 missed 59 dreaming 1" in page


def test_what_was_changed_by_hand_of_a_declared_task_goes_back_to_code():
    task, other = saved(queue="slow"), saved("by hand", queue="slow")
    declaration = {**in_json(task), "queue": "default"}
    Task.objects.filter(pk=task.pk).update(name="shop.sweep", declaration=declaration)
    page = text_of(browser_of_superuser().get(page_of(task)))
    assert "in code, as shop.sweep" in page
    assert "queue: slow instead of default" in page
    assert "Back to code" in page
    assert "Back to code" not in text_of(browser_of_superuser().get(page_of(other)))
    assert said(act(browser_of_superuser(), "back_to_code", task, other)) == [
        "1 task is as code says."
    ]
    assert set(Task.objects.values_list("label", "queue")) == {
        ("sweep", "default"),
        ("by hand", "slow"),
    }
    assert str(LogEntry.objects.get(object_id=task.pk)).endswith("Back to code: queue.")
