"""What does the ledger show?"""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.admin import runs
from sisy.heartbeat import tick
from sisy.models import Process, Run, task_with_callable
from tests.admin.pages import RUNS, page_of, rows_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import NOON
from tests.support.records import worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def planned(label="sweep", minutes=1, **fields):
    """Return the newest run of a new task that is due each minute."""
    task = task_with_callable("tests.app.jobs.noop", label=label, **fields)
    task.save()
    tick("default", NOON + timedelta(minutes=minutes))
    return Run.objects.filter(task=task)[0]


def changed(run, **columns):
    Run.objects.filter(pk=run.pk).update(**columns)
    run.refresh_from_db()
    return run


def test_a_row_says_how_a_run_went():
    run = changed(
        planned(),
        state="failed",
        attempt=2,
        reason="ValueError: no",
    )
    [row] = rows_of(browser_of_superuser().get(RUNS))
    assert row == f"sweep #{run.pk} failed 12:01:00 in 1 min 1 2 ValueError: no"


def test_a_gap_is_one_row_that_counts_its_occurrences():
    planned(minutes=60, missed="skip")
    gap = rows_of(browser_of_superuser().get(RUNS, {"state": "missed"}))
    assert len(gap) == 1
    assert "missed 12:01:00 in 1 min 59 0" in gap[0]


def test_a_retry_shows_the_moment_of_the_occurrence_that_it_repeats():
    again = changed(planned(), state="failed").retry()
    [row] = rows_of(browser_of_superuser().get(RUNS, {"origin": "retry"}))
    assert row.startswith(f"sweep #{again.pk} queued 12:01:00 in 1 min")


def test_a_page_shows_when_a_run_was_due_and_links_to_its_task():
    run = changed(planned(), state="failed", reason="ValueError: no", started_at=NOON)
    page = browser_of_superuser().get(page_of(run))
    assert page_of(run.task) in page.content.decode()
    shown = text_of(page)
    assert "Due: 12:01:00 in 1 min" in shown
    assert "Started: 12:00:00 now" in shown
    assert "Reason: ValueError: no" in shown


def test_a_run_outlives_its_task_and_says_so():
    run = planned()
    run.task.delete()
    shown = text_of(browser_of_superuser().get(page_of(run)))
    assert "Label: sweep Task: -" in shown
    assert "The task was deleted." in shown


def test_the_ledger_cannot_be_edited_in_the_admin():
    run = planned()
    browser = browser_of_superuser()
    assert browser.get(f"{RUNS}add/").status_code == 403
    assert browser.post(page_of(run), {"state": "succeeded"}).status_code == 403
    assert browser.post(f"{RUNS}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [run.pk], "post": "yes"}
    browser.post(RUNS, data)
    assert Run.objects.get().state == "queued"


def test_a_long_ledger_is_counted_only_up_to_the_page_shown(monkeypatch):
    monkeypatch.setattr(runs, "MAX_COUNTED", 3)
    for number in range(5):
        planned(f"task {number}")
    with CaptureQueriesContext(connection) as seen:
        browser_of_superuser().get(RUNS)
    counts = [query["sql"] for query in seen.captured_queries if "COUNT" in query["sql"]]
    assert counts
    assert all("LIMIT 3" in sql for sql in counts)


def test_runs_are_found_by_label_state_queue_and_reason():
    first, second = planned("first"), planned("second")
    changed(second, reason="ValueError: no", state="failed")
    browser = browser_of_superuser()

    def found(**query):
        return [row.split()[0] for row in rows_of(browser.get(RUNS, query))]

    Run.objects.filter(pk=first.pk).update(queue="slow")
    assert found(q="secon") == ["second"]
    assert found(q="ValueError") == ["second"]
    assert found(state="failed") == ["second"]
    assert found(queue="default") == ["second"]


def test_runs_are_found_by_the_name_of_their_worker_also_after_its_end():
    runs, workers = [planned("first"), planned("second")], [worker(), worker()]
    for run, process, pid in zip(runs, workers, (7001, 7002), strict=True):
        Process.objects.filter(pk=process.pk).update(pid=pid)
        changed(run, process=process)
        process.leave()
    browser = browser_of_superuser()
    name = str(Process.all_objects.get(pk=workers[1].pk))
    assert name.startswith("worker 7002@")
    for words in (name, "7002", "7002@"):
        [row] = rows_of(browser.get(RUNS, {"q": words}))
        assert row.startswith("second ")
    assert len(rows_of(browser.get(RUNS, {"q": workers[0].host}))) == 2
    assert f"Worker: {name}" in text_of(browser.get(page_of(runs[1])))


def stored(**fields):
    task = task_with_callable("tests.app.jobs.noop", **fields)
    task.save()
    return task


def test_the_page_of_a_run_leaves_its_data_and_its_error_to_the_dashboard():
    task = stored(userdata={"region": "north", "password": "hunter2"})
    run = task.run_now()
    Run.objects.update(error="KeyError: 'anvil'", result={"api_key": "s3cr3t", "rows": 7})
    for browser in (browser_of("view_run"), browser_of_superuser()):
        shown = browser.get(page_of(run)).content.decode()
        for words in ("north", "anvil", "rows", "hunter2", "s3cr3t"):
            assert words not in shown


def test_user_data_is_editable_only_with_permission():
    task = stored(userdata={"region": "north"})
    page = browser_of("view_task", "change_task").get(page_of(task)).content.decode()
    assert "north" not in page
    page = browser_of("view_task", "change_task", "view_run_details").get(page_of(task))
    assert "north" in page.content.decode()
