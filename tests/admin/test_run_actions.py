"""What can a person do with runs in the admin?"""

from datetime import timedelta
from urllib.parse import urlencode

import pytest

from sisy.models import Run, Task, task_with_callable
from tests.admin.pages import RUNS, history_of, messages_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

CANCEL_BY_FORCE = "Force cancel (kills runs in a process pool)"


def run_of(label="sweep", state="queued", **columns):
    """Return a run of a new task, due just now."""
    task = task_with_callable("tests.app.jobs.noop", label=label)
    task.save()
    run = task.new_run(now=NOON, **{"due_at": NOON, "state": state, **columns})
    run.save()
    return run


def gap():
    """Return a row that stands for 59 occurrences that were missed."""
    hour = NOON + timedelta(hours=1)
    return run_of("gap", state="missed", due_until=hour, count=59)


def act(browser, action, *runs, **query):
    """Choose an action in the list and return what the next page says."""
    data = {"action": action, "_selected_action": [run.pk for run in runs]}
    return messages_of(browser.post(f"{RUNS}?{urlencode(query)}", data, follow=True))


def test_cancel_cancels_chosen_queued_runs_and_leaves_others_alone():
    ended, queued, other = run_of("a", state="succeeded"), run_of("b"), run_of("c")
    done = act(browser_of("view_run", "cancel_run"), "cancel", ended, queued)
    assert done == ["Cancelled 1 queued run."]
    states = dict(Run.objects.values_list("pk", "state"))
    assert states == {ended.pk: "succeeded", queued.pk: "cancelled", other.pk: "queued"}
    queued.refresh_from_db()
    assert queued.reason == "Cancelled by Pat."
    assert history_of(queued) == ["Cancelled."]
    assert history_of(ended) == history_of(other) == []


def test_cancel_asks_running_runs_to_end_and_says_that_this_takes_time():
    going = run_of(state="running")
    browser = browser_of_superuser()
    assert act(browser, "cancel", going, run_of("b")) == [
        "Cancelled 1 queued run. Requested cancellation of 1 running run. The function is not "
        "async, so it stops at its next current_run().check()."
    ]
    assert history_of(going) == ["Cancel requested."]
    going.refresh_from_db()
    assert (going.state, going.cancel_requested_at) == ("running", NOON)
    assert (going.cancel_force, going.cancel_reason) == (False, "Cancelled by Sam.")
    assert act(browser, "cancel", going) == [
        "Nothing to cancel: 1 run was already asked to stop, and is still running."
    ]
    assert history_of(going) == ["Cancel requested."]


def test_cancel_by_force_asks_to_kill_and_says_where_that_is_possible():
    going = run_of(state="running")
    assert act(browser_of_superuser(), "cancel_force", going) == [
        "Requested cancellation of 1 running run. Runs in a process pool are killed. "
        "Elsewhere, async functions are cancelled, and plain functions stop at their next "
        "current_run().check()."
    ]
    going.refresh_from_db()
    assert (going.cancel_requested_at, going.cancel_force) == (NOON, True)
    assert history_of(going) == ["Force cancel requested."]


def test_runs_of_a_list_that_is_filtered_by_their_state_are_cancelled():
    queued = run_of()
    done = act(browser_of_superuser(), "cancel", queued, state__exact="queued")
    assert done == ["Cancelled 1 queued run."]
    queued.refresh_from_db()
    assert queued.state == "cancelled"


def test_retry_submits_a_run_for_each_finished_run():
    failed, cancelled = run_of("a", state="failed"), run_of("b", state="cancelled")
    assert act(browser_of_superuser(), "retry", failed, cancelled) == ["Submitted 2 retries."]
    retries = Run.objects.filter(origin="retry").order_by("retry_of_id")
    assert [(run.retry_of_id, run.occurrence_at, run.state) for run in retries] == [
        (failed.pk, failed.due_at, "queued"),
        (cancelled.pk, cancelled.due_at, "queued"),
    ]
    assert history_of(failed) == [f"Retried as run {retries[0].pk}."]


def test_runs_that_cannot_be_retried_are_named_and_stop_no_other():
    going, failed = run_of("a", state="running"), run_of("b", state="failed")
    gone = run_of("c", state="failed")
    Run.objects.filter(pk=gone.pk).update(target_path="tests.app.jobs.gone")
    gone.task.delete()
    missed = gap()
    *refused, done = act(browser_of_superuser(), "retry", going, failed, gone, missed)
    assert done == "Submitted 1 retry."
    assert refused[0] == f"a #{going.pk} is running. Only finished runs can be retried."
    assert refused[1].startswith(f"c #{gone.pk}: tests.app.jobs.gone ")
    assert refused[2].startswith(f"gap #{missed.pk} records 59 missed occurrences")
    assert Run.objects.get(origin="retry").retry_of_id == failed.pk


def test_many_runs_that_cannot_be_retried_do_not_fill_the_page():
    runs = [run_of(f"{number}") for number in range(24)]
    said = act(browser_of_superuser(), "retry", *runs)
    assert len(said) == 22
    assert said[-2:] == ["4 more runs cannot be retried.", "No runs were retried."]


@pytest.mark.parametrize(
    ("action", "permission"),
    [("cancel", "cancel_run"), ("cancel_force", "cancel_run"), ("retry", "run_task")],
)
def test_each_action_needs_its_permission(action, permission):
    run = run_of(state="failed" if action == "retry" else "running")
    others = {"view_run", "view_task", "change_task", "cancel_run", "run_task"} - {permission}
    browser = browser_of(*others)
    act(browser, action, run)
    run.refresh_from_db()
    assert run.cancel_requested_at is None
    assert Run.objects.count() == 1
    act(browser_of("view_run", permission), action, run)
    run.refresh_from_db()
    assert run.cancel_requested_at is not None or Run.objects.count() == 2


def test_a_run_of_a_deleted_task_can_be_retried():
    run = run_of(state="failed")
    run.task.delete()
    assert act(browser_of_superuser(), "retry", run) == ["Submitted 1 retry."]
    assert Task.objects.get().label == "sweep"
