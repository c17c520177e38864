"""The page of a task, and the one on which its occurrences are made good."""

import re
from datetime import UTC, datetime

import pytest

from sisy.heartbeat import tick
from sisy.models import Overlap, Run, RunState, Task
from sisy.models.declared import in_json
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.pressing import press
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def page_of(task, *permissions, parts="", query=""):
    client = browser_of("view_task", *permissions) if permissions else browser_of_superuser()
    return client.get(f"/sisy/tasks/{task.pk}/?{f'parts={parts}' if parts else ''}{query}")


def ended(task, state=RunState.SUCCEEDED, took=SECOND, ago=HOUR, **columns):
    moment = NOON - ago
    times = {"started_at": moment + SECOND, "finished_at": moment + took, "due_at": moment}
    run = task.new_run(now=moment, ready_at=moment, state=state, attempt=1, **times, **columns)
    run.save()
    return run


def test_the_task_page_shows_the_task_and_its_outcomes():
    task = scheduled("0 9 * * mon-fri", label="report")
    ended(task)
    ended(task, RunState.FAILED, ago=2 * HOUR)
    text = text_of(page_of(task, parts="head"))
    assert "0 9 * * mon-fri At 09:00, Monday through Friday (UTC)" in text
    assert "Function tests.app.jobs.noop" in text
    assert "✓ succeeded 1" in text
    assert "✕ failed 1" in text


def test_the_page_of_a_deleted_task_leads_to_its_runs():
    page = browser_of_superuser().get("/sisy/tasks/999/")
    assert page.status_code == 404
    assert "Task 999 does not exist, or has been deleted." in page.content.decode()
    assert 'href="/sisy/runs/?task=999"' in page.content.decode()
    assert browser_of_superuser().get("/sisy/tasks/999/?parts=head").status_code == 404


def test_the_chart_reads_the_history_from_a_table():
    task = scheduled()
    ended(task, took=90 * SECOND)
    page = page_of(task, parts="history").content.decode()
    [row] = re.findall(r'<tr data-at="(.*?)" data-took="(.*?)" data-late="(.*?)" ', page)
    assert float(row[0]) == (NOON - HOUR + SECOND).timestamp()
    assert row[1:] == ("89.000", "1.000")


def test_the_task_page_shows_next_runs_and_daylight_saving(at_time):
    at_time(datetime(2026, 3, 28, 12, tzinfo=UTC))
    task = scheduled("30 2 * * *")
    task.timezone = "Europe/Berlin"
    task.save()
    text = text_of(page_of(task, parts="coming"))
    assert "Sun 2026-03-29 03:00:00 CEST" in text
    assert "Before this occurrence, the clocks go forward by 1 h." in text
    assert text.count("2026-0") >= 10
    task.pause()
    assert "the task is paused." in text_of(page_of(task, parts="coming"))


def test_only_the_iterations_that_are_left_are_shown():
    task = Task.run_iterations("tests.app.jobs.noop", iterations=3)
    page = page_of(task, parts="coming").content.decode()
    assert page.count("<li>") == 3


def test_the_task_page_shows_the_policies_in_words():
    task = scheduled(
        overlap=Overlap.BUFFER_ALL, max_attempts=4, timeout=90 * SECOND, spread=MINUTE
    )
    text = text_of(page_of(task, parts="about"))
    assert "While a run is running, up to 100 others stay queued. Further ones are" in text
    assert "Retries up to 3 times." in text
    assert (
        "The maximum delay starts at 10 s and is multiplied by 2 with each retry, up to 1 h."
        in text
    )
    assert "Timeout 1 min 30 s. Plain functions in threads must call" in text
    assert "up to 1 min" in text


def test_no_limit_is_shown_for_the_queued_runs_of_bulk_run_once():
    task = Task.bulk_run_once("tests.app.jobs.noop", [{}, {}], overlap=Overlap.BUFFER_ALL)
    text = text_of(page_of(task, parts="about"))
    assert "Runs are queued while another one is running." in text


def test_user_data_needs_a_permission_and_secrets_are_masked():
    task = scheduled(userdata={"shop": "north", "nested": [{"API_Token": "s3cr3t"}]})
    seen = page_of(task, "view_run_details", parts="about").content.decode()
    assert "north" in seen
    assert "•••" in seen
    assert "s3cr3t" not in seen
    hidden = page_of(task, "view_run", parts="about").content.decode()
    assert "north" not in hidden
    assert "sisy.view_run_details" in hidden


def test_each_error_is_listed_once_with_its_count():
    task = scheduled()
    for n in range(3):
        error = f"Traceback\n  line {n}\nKeyError: 'anvil'"
        ended(task, RunState.FAILED, ago=(4 - n) * HOUR, error=error)
    newest = ended(task, RunState.FAILED, ago=HOUR, error="OSError: disk <full>")
    page = page_of(task, parts="errors")
    assert "KeyError: 'anvil' 3 08:00:01 10:00:01" in text_of(page)
    assert f'href="/sisy/runs/{newest.pk}/"' in page.content.decode()
    assert "disk &lt;full&gt;" in page.content.decode()
    assert "anvil" not in page_of(task, "view_run", parts="errors").content.decode()


def test_the_tasks_ledger_is_paginated():
    task = scheduled()
    for n in range(60):
        ended(task, ago=(n + 1) * MINUTE)
    first = page_of(task, parts="ledger").content.decode()
    assert first.count('id="run-') == 50
    before = re.search(r"before=(\d+)", first)[1]
    second = page_of(task, parts="ledger", query=f"&before={before}").content.decode()
    assert second.count('id="run-') == 10
    assert "Older" not in second


def test_the_task_page_lists_who_did_what():
    task = scheduled()
    browser_of_superuser().post("/sisy/tasks/do/pause/", {"pk": task.pk, "reason": "too hot"})
    assert "Sam Paused: too hot" in text_of(page_of(task, parts="log"))


def test_only_applicable_and_permitted_actions_are_offered():
    task = scheduled()
    page = page_of(task, "pause_task").content.decode()
    assert "do/pause/" in page
    assert "do/resume/" not in page
    assert "do/run/" not in page
    assert "backfill" not in page
    task.pause()
    assert "do/resume/" in page_of(task, "pause_task").content.decode()
    assert f"/admin/sisy/task/{task.pk}/change/" in page_of(task).content.decode()


def test_the_task_pages_queries_do_not_grow_with_the_runs(django_assert_max_num_queries):
    task = scheduled()
    for n in range(80):
        ended(task, RunState.FAILED if n % 9 == 0 else RunState.SUCCEEDED, ago=(n + 1) * MINUTE)
    client = browser_of_superuser()
    client.get(f"/sisy/tasks/{task.pk}/")
    with django_assert_max_num_queries(20):
        client.get(f"/sisy/tasks/{task.pk}/")


def test_a_backfill_is_shown_before_it_is_run():
    task = scheduled("0 * * * *", label="report")
    tick("default", NOON - DAY)
    address = f"/sisy/tasks/{task.pk}/backfill/"
    asked = {"start": "2026-05-05T06:00:00", "end": "2026-05-05T09:00:00"}
    client = browser_of("view_task", "backfill_task")
    shown = client.get(address, asked)
    assert "3 occurrences will run." in text_of(shown)
    assert not Run.objects.filter(origin="backfill").exists()
    done = client.post(address, asked, follow=True)
    assert "Submitted 3 runs." in text_of(done)
    assert Run.objects.filter(origin="backfill", task=task).count() == 3


def test_an_invalid_range_is_rejected_at_its_field():
    task = scheduled("0 * * * *")
    client = browser_of("view_task", "backfill_task")
    asked = {"start": "2026-05-05T09:00:00", "end": "2026-05-05T06:00:00"}
    for response in (
        client.get(f"/sisy/tasks/{task.pk}/backfill/", asked),
        client.post(f"/sisy/tasks/{task.pk}/backfill/", asked),
    ):
        assert "both must be in the past" in text_of(response)
    assert not Run.objects.filter(origin="backfill").exists()


def test_a_backfill_needs_its_permission():
    task = scheduled("0 * * * *")
    client = browser_of("view_task", "run_task")
    asked = {"start": "2026-05-05T06:00:00", "end": "2026-05-05T09:00:00"}
    assert client.get(f"/sisy/tasks/{task.pk}/backfill/").status_code == 403
    assert client.post(f"/sisy/tasks/{task.pk}/backfill/", asked).status_code == 403


def declared(**changes):
    """Return a task that code declares, and of which somebody has changed something."""
    task = scheduled("0 9 * * *", label="report")
    Task.objects.filter(pk=task.pk).update(name="shop.report", declaration=in_json(task))
    task = Task.objects.get(pk=task.pk)
    for name, value in changes.items():
        setattr(task, name, value)
    task.save()
    return task


def test_changes_to_a_declared_task_are_listed_and_can_be_reset():
    task = declared(schedule="0 7 * * *", timeout=MINUTE)
    text = text_of(page_of(task))
    assert "declared in code under the name shop.report" in text
    assert "schedule: 0 7 * * * instead of 0 9 * * *" in text
    assert "timeout: 1 min instead of —" in text
    assert "Reset to code" in text
    client = browser_of_superuser()
    press(client, "/sisy/tasks/do/back_to_code/", {"pk": task.pk})
    task = Task.objects.get(pk=task.pk)
    assert (task.schedule, task.timeout, task.overrides()) == ("0 9 * * *", None, [])
    text = text_of(page_of(task))
    assert "Reset to code: schedule, timeout." in text
    assert "undo what was changed" not in text


def test_resetting_changes_is_offered_only_with_permission():
    task = declared(queue="slow")
    assert "queue: slow instead of default" in text_of(page_of(task, "run_task"))
    assert "Reset to code" not in text_of(page_of(task, "run_task"))
    refused = browser_of("view_task", "run_task").post(
        "/sisy/tasks/do/back_to_code/", {"pk": task.pk}
    )
    assert refused.status_code == 403
    assert Task.objects.get(pk=task.pk).queue == "slow"


def test_changed_user_data_is_not_revealed_in_the_list_of_changes():
    task = declared()
    Task.objects.filter(pk=task.pk).update(
        declaration={**task.declaration, "_extra_data": {"to": "Ann"}}
    )
    text = text_of(page_of(task, "run_task"))
    assert "user data: changed" in text
    assert "Ann" not in text


def test_the_policies_say_when_alerts_open_and_how_long_runs_are_kept(settings):
    settings.SISY_HISTORY_DAYS = 7
    task = scheduled(
        alert_after=3,
        start_within=MINUTE,
        expected_duration=HOUR,
        success_every=DAY,
        history_runs=20,
    )
    text = text_of(page_of(task, parts="about"))
    assert "Opens an alert when 3 runs in a row have failed." in text
    assert "A run is late if it has not started within 1 min." in text
    assert "A run is too slow after 1 h." in text
    assert "The task is silent if no run has succeeded for 1 day." in text
    assert "Keeps the newest 20 finished runs. Runs are deleted after 7 days." in text
    quiet = text_of(page_of(scheduled(alert_after=0), parts="about"))
    assert "Failed runs do not open an alert." in quiet


def test_the_next_change_of_the_clocks_is_shown_with_its_effect():
    task = scheduled("30 2 * * *", timezone="Europe/Berlin")
    text = text_of(page_of(task, parts="coming"))
    assert "The clocks change at 2026-10-25 01:00:00 UTC :" in text
    assert "Sun 2026-10-25 02:30:00 CEST" in text
    assert "this local time occurs twice. This is the first." in text


@pytest.mark.parametrize(
    ("schedule", "zone"), [("30 2 * * *", "Asia/Tokyo"), ("0 12 1 1 *", "Europe/Berlin")]
)
def test_a_change_of_the_clocks_without_an_effect_is_not_shown(schedule, zone):
    task = scheduled(schedule, timezone=zone)
    assert "The clocks change at" not in text_of(page_of(task, parts="coming"))


def test_a_change_of_the_clocks_among_the_next_runs_is_noted_there_only(at_time):
    at_time(datetime(2026, 10, 20, 12, tzinfo=UTC))
    text = text_of(page_of(scheduled("30 2 * * *", timezone="Europe/Berlin"), parts="coming"))
    assert "The clocks change at" not in text
    assert text.count("occurs twice") == 1


def test_a_paused_task_shows_the_end_of_its_pause_and_what_follows():
    task = scheduled("30 * * * *")
    task.pause("maintenance", NOON + HOUR)
    text = text_of(page_of(task, parts="head"))
    assert "paused until 13:00:00" in text
    assert "Next run 13:30:00 after the pause" in text
