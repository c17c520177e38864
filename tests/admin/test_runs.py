"""What does the ledger show?"""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.admin import paginator
from sisy.heartbeat import tick
from sisy.models import Attempt, Process, Queue, Role, Run, task_with_callable
from tests.admin.pages import RUNS, page_of, rows_of, text_of, titles_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import NOON

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


def test_a_page_says_why_a_run_was_carried_out_once_more():
    run = changed(planned(), state="succeeded", attempt=3)
    Attempt.objects.create(
        run=run,
        number=1,
        state="failed",
        reason="ValueError: no",
        error="Traceback: <b>no</b>",
        worker="worker 7@host",
        started_at=NOON + timedelta(minutes=1),
        finished_at=NOON + timedelta(minutes=1, seconds=2),
    )
    Attempt.objects.create(
        run=run, number=2, state="lost", reason="Killed.", finished_at=NOON + timedelta(minutes=9)
    )
    page = browser_of_superuser().get(page_of(run))
    assert (
        "Attempt State Started Took Worker Reason "
        "1 failed 2026-05-05 12:01:00.000+00:00 2.00 s worker 7@host "
        "ValueError: no 2 lost - - - Killed. Error of attempt 1 Traceback: <b>no</b>"
    ) in text_of(page)
    assert b"<summary>Error of attempt 1</summary><pre>Traceback: &lt;b&gt;" in page.content


def test_a_page_shows_what_a_retry_makes_good_and_leads_from_each_to_the_other():
    failed = changed(planned(), state="failed")
    again = failed.retry()
    browser = browser_of_superuser()
    page = browser.get(page_of(again))
    assert f"Retry of: {failed.pk}" in text_of(page)
    assert "Stands for: 2026-05-05 12:01:00.000+00:00" in text_of(page)
    assert page_of(failed) in page.content.decode()
    page = browser.get(page_of(failed))
    assert f"Retried by: {again.pk} waiting" in text_of(page)
    assert page_of(again) in page.content.decode()


def test_the_list_says_which_occurrence_a_retry_makes_good():
    again = changed(planned(), state="failed").retry()
    [row] = rows_of(browser_of_superuser().get(RUNS, {"origin": "retry"}))
    assert row == f"sweep #{again.pk} waiting for 12:01:00 in 1 minute - - 0 -"


def test_the_page_of_a_retry_whose_task_was_deleted_still_leads_to_it():
    failed = changed(planned(), state="failed")
    again = failed.retry()
    failed.task.delete()
    browser = browser_of_superuser()
    assert f"Retried by: {again.pk} cancelled" in text_of(browser.get(page_of(failed)))


def test_list_and_page_say_that_somebody_asked_a_run_to_end():
    run = changed(planned(), state="running", started_at=NOON)
    run.cancel("too slow")
    browser = browser_of_superuser()
    page = browser.get(RUNS)
    assert f"sweep #{run.pk} running asked to end 12:01:00" in rows_of(page)[0]
    assert "too slow" in titles_of(page)
    asked = "Cancel asked: 2026-05-05 12:00:00.000+00:00"
    assert f"{asked} · too slow" in text_of(browser.get(page_of(run)))
    run.cancel("at once", by_force=True)
    assert "running forced to end" in rows_of(browser.get(RUNS))[0]
    assert f"{asked} · by force · at once" in text_of(browser.get(page_of(run)))


def test_a_page_leaves_out_what_its_run_has_not():
    shown = text_of(browser_of_superuser().get(page_of(planned())))
    for title in ("Stands for", "Retry of", "Retried by", "Cancel asked", "Earlier attempts"):
        assert f"{title}:" not in shown


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


def test_a_long_ledger_is_counted_no_further_than_it_is_leafed_through(monkeypatch):
    monkeypatch.setattr(paginator, "MOST", 3)
    for number in range(5):
        planned(f"task {number}")
    with CaptureQueriesContext(connection) as seen:
        browser_of_superuser().get(RUNS)
    counts = [query["sql"] for query in seen.captured_queries if "COUNT" in query["sql"]]
    assert counts
    assert all("LIMIT 3" in sql for sql in counts)


def test_the_filter_offers_the_queues_that_somebody_serves_waits_in_or_has_paused():
    run = planned("first")
    Run.objects.filter(pk=run.pk).update(queue="waits")
    Queue.objects.pause("paused")
    Process.join(
        Role.WORKER, using="default", now=NOON, lease=timedelta(hours=1), queues=("served",)
    )
    page = browser_of_superuser().get(RUNS).content.decode()
    assert all(f"?queue={name}" in page for name in ("waits", "paused", "served"))


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


def stored(**fields):
    task = task_with_callable("tests.app.jobs.noop", **fields)
    task.save()
    return task


def test_data_and_errors_are_seen_by_whom_they_concern_and_secrets_by_nobody():
    task = stored(userdata={"region": "north", "password": "hunter2"})
    run = task.run_now()
    Run.objects.update(error="KeyError: 'anvil'", result={"api_key": "s3cr3t", "rows": 7})
    seen = browser_of("view_run", "view_run_details").get(page_of(run)).content.decode()
    assert all(words in seen for words in ("north", "anvil", "rows", "•••"))
    assert not any(secret in seen for secret in ("hunter2", "s3cr3t"))
    hidden = browser_of("view_run").get(page_of(run)).content.decode()
    assert not any(words in hidden for words in ("north", "anvil", "rows"))


def test_the_data_of_a_task_is_changed_only_by_whom_it_concerns():
    task = stored(userdata={"region": "north"})
    page = browser_of("view_task", "change_task").get(page_of(task)).content.decode()
    assert "north" not in page
    page = browser_of("view_task", "change_task", "view_run_details").get(page_of(task))
    assert "north" in page.content.decode()
