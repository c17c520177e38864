"""What does the ledger show?"""

from datetime import UTC, datetime, timedelta

import pytest

from sisy.heartbeat import tick
from sisy.models import Run, task_with_callable
from tests.admin.pages import RUNS, messages_of, page_of, rows_of, text_of
from tests.admin.people import browser_of, browser_of_superuser

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_noon(at_time):
    at_time(NOON)


def planned(label="sweep", minutes=1, **fields):
    """Return the newest run of a new task that is due each minute."""
    task = task_with_callable("tests.app.jobs.noop", label=label, **fields)
    task.save()
    tick("default", NOON + timedelta(minutes=minutes))
    return Run.objects.filter(task=task)[0]


def changed(run, **columns):
    Run.objects.filter(pk=run.pk).update(**columns)
    return run


def test_a_row_says_how_a_run_went():
    due = NOON + timedelta(minutes=1)
    run = changed(
        planned(),
        state="failed",
        attempt=2,
        reason="ValueError: no",
        started_at=due + timedelta(milliseconds=12),
        finished_at=due + timedelta(seconds=75),
    )
    [row] = rows_of(browser_of_superuser().get(RUNS))
    assert row == (f"sweep #{run.pk} failed 12:01:00 in 1 minute 12 ms 0:01:15 2 ValueError: no")


def test_a_gap_is_one_row_that_says_from_when_to_when_and_how_many():
    planned(minutes=60, missed="skip")
    gap = rows_of(browser_of_superuser().get(RUNS, {"state": "missed"}))
    assert len(gap) == 1
    assert "missed 12:01:00 in 1 minute … 12:59:00 in 59 minutes 59 in all" in gap[0]


def test_a_page_shows_the_traceback_and_the_return_value_as_text():
    run = changed(planned(), error="Traceback:\n  <b>no</b>", result={"é": [1]}, state="failed")
    page = browser_of_superuser().get(page_of(run))
    assert b"&lt;b&gt;no&lt;/b&gt;" in page.content
    assert 'Return value: { "é": [ 1 ] }' in text_of(page)


def test_a_page_leads_to_its_task_and_to_the_run_that_was_in_its_way():
    first = planned("first")
    second = changed(planned("second"), blocked_by=first, state="skipped")
    page = browser_of_superuser().get(page_of(second)).content.decode()
    assert page_of(second.task) in page
    assert page_of(first) in page


def test_a_run_outlives_its_task_and_says_so():
    run = planned()
    run.task.delete()
    shown = text_of(browser_of_superuser().get(page_of(run)))
    assert "sweep (deleted)" in shown
    assert "The task was deleted." in shown


def test_nobody_adds_changes_or_deletes_rows_of_the_ledger():
    run = planned()
    browser = browser_of_superuser()
    assert browser.get(f"{RUNS}add/").status_code == 403
    assert browser.post(page_of(run), {"state": "succeeded"}).status_code == 403
    assert browser.post(f"{RUNS}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [run.pk], "post": "yes"}
    browser.post(RUNS, data)
    assert Run.objects.get().state == "waiting"


def test_chosen_runs_that_wait_are_cancelled_and_others_left_alone():
    ended, waiting, other = planned("a"), planned("b"), planned("c")
    changed(ended, state="succeeded")
    data = {"action": "cancel_waiting", "_selected_action": [ended.pk, waiting.pk]}
    page = browser_of("view_run", "cancel_run").post(RUNS, data, follow=True)
    assert messages_of(page) == ["1 waiting run is cancelled."]
    states = dict(Run.objects.values_list("pk", "state"))
    assert states == {ended.pk: "succeeded", waiting.pk: "cancelled", other.pk: "waiting"}
    assert Run.objects.get(pk=waiting.pk).reason == "Cancelled by Pat."


def test_cancelling_needs_its_permission():
    run = planned()
    data = {"action": "cancel_waiting", "_selected_action": [run.pk]}
    browser_of("view_run").post(RUNS, data)
    assert Run.objects.get().state == "waiting"


def test_runs_are_found_by_task_label_state_and_reason():
    first, second = planned("first"), planned("second")
    changed(second, reason="ValueError: no", state="failed")
    browser = browser_of_superuser()

    def found(**query):
        return [row.split()[0] for row in rows_of(browser.get(RUNS, query))]

    assert found(task__id__exact=first.task_id) == ["first"]
    assert found(q="secon") == ["second"]
    assert found(q="ValueError") == ["second"]
    assert found(state="failed") == ["second"]
    assert found(queue="default") == ["second", "first"]
