"""The page of a run, and the ledger."""

import re
from itertools import count
from urllib.parse import urlencode

import pytest

from sisy.heartbeat import tick
from sisy.models import Attempt, Run, RunState, Task
from sisy.reports import walk
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.app import jobs
from tests.dashboard.pressing import press
from tests.roles.steps import finish
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def page_of(run, *permissions, parts=""):
    client = browser_of("view_task", *permissions) if permissions else browser_of_superuser()
    return client.get(f"/sisy/runs/{run.pk}/?{f'parts={parts}' if parts else ''}")


def failed(**columns):
    task = scheduled(label="report", userdata={"region": "north", "password": "hunter2"})
    run = task.run_now()
    [begun] = claim(worker(), ["default"], 1, NOON + SECOND)
    error = "Traceback\nKeyError: <b>'anvil'</b>"
    finish(begun, NOON + 3 * SECOND, RunState.FAILED, reason="KeyError", error=error, **columns)
    run.refresh_from_db()
    return run


def test_the_run_page_shows_each_step_and_its_time():
    text = text_of(page_of(failed(), parts="steps"))
    assert "planned 2026-05-05 12:00:00.000" in text
    assert "started 2026-05-05 12:00:03.000 after 3 s" in text
    assert "failed 2026-05-05 12:00:03.000" in text


def test_the_run_page_shows_who_requested_and_who_executed_it():
    run = failed()
    text = text_of(page_of(run, parts="head"))
    assert "✕ failed KeyError after 0 s · 12:00:03" in text
    assert "Origin run now Delay 3 s" in text
    assert "Attempt 1" in text


def test_lists_say_which_attempt_it_is_if_it_is_not_the_first():
    def listed():
        return text_of(browser_of_superuser().get("/sisy/runs/?parts=list"))

    run = failed()
    assert "failed report" in listed()
    Run.objects.filter(pk=run.pk).update(attempt=3)
    assert "failed attempt 3 report" in listed()


def test_lists_say_since_when_a_run_is_running():
    scheduled(label="report").run_now()
    assert claim(worker(), ["default"], 1, NOON + SECOND)
    text = text_of(browser_of_superuser().get("/sisy/runs/?state=running&parts=list"))
    assert "since 12:00:01" in text


@pytest.mark.parametrize(
    ("state", "offered"),
    [("running", ["Cancel"]), ("unsuccessful", ["Retry"]), ("", ["Retry", "Cancel"])],
)
def test_a_list_offers_what_its_runs_can_do(state, offered):
    failed()
    scheduled(label="report").run_now()
    assert claim(worker(), ["default"], 1, NOON + SECOND)
    text = text_of(browser_of_superuser().get(f"/sisy/runs/?search=report&state={state}"))
    assert re.findall(r"(Retry|Cancel) all matching runs", text) == offered


def test_what_people_on_call_look_for_has_a_link_that_keeps_the_other_filters():
    html = browser_of_superuser().get("/sisy/runs/?queue=mail&state=missed").content.decode()
    assert 'href="?state=unsuccessful&amp;queue=mail"' in html
    assert 'href="?queue=mail">all</a>' in html
    assert 'href="?state=missed&amp;queue=mail" aria-current="true"' in html


def test_a_list_of_runs_begins_and_ends_at_a_moment():
    for hour in (5, 2):
        due = NOON - hour * HOUR
        times = {"due_at": due, "started_at": due, "finished_at": due}
        task = scheduled(label=f"at {hour}")
        task.new_run(now=due, state=RunState.SUCCEEDED, **times).save()
    browser = browser_of_superuser()
    asked = {"start": "2026-05-05T09:00:00", "until": "2026-05-05T11:00:00"}
    text = text_of(browser.get("/sisy/runs/", asked))
    assert "at 2" in text
    assert "at 5" not in text
    # A link may name a moment as `since`: the form has it as its beginning.
    html = browser.get("/sisy/runs/", {"since": "2026-05-05T06:00"}).content.decode()
    assert 'name="start" step="1" value="2026-05-05T06:00:00"' in html
    empty = {"start": "2026-05-05T11:00", "until": "2026-05-05T09:00"}
    assert "it begins after its end" in text_of(browser.get("/sisy/runs/", empty))
    both = {"since": "1h", "start": "2026-05-05T06:00:00"}
    assert "No matching runs." in text_of(browser.get("/sisy/runs/", both))


def test_data_and_errors_need_a_permission_and_secrets_are_masked():
    run = failed(result={"access_key": "s3cr3t", "rows": 7})
    Attempt.of(run, state=RunState.FAILED, error="an earlier one", finished_at=NOON).save()
    parts = "head,steps,what"
    seen = page_of(run, "view_run_details", parts=parts).content.decode()
    for words in ("north", "&quot;rows&quot;: 7", "KeyError: &lt;b&gt;", "an earlier one", "•••"):
        assert words in seen
    for secret in ("hunter2", "s3cr3t"):
        assert secret not in seen
    hidden = page_of(run, "view_run", parts=parts).content.decode()
    for words in ("north", "rows", "anvil", "an earlier one"):
        assert words not in hidden
    assert "sisy.view_run_details" in hidden


def test_a_run_of_a_schedule_shows_the_data_of_its_task():
    task = scheduled("0 * * * *", label="tea", userdata={"cups": 4, "token": "s3cr3t"})
    tick("default", NOON + HOUR)
    text = text_of(page_of(Run.objects.get(task=task), parts="what"))
    assert 'Current user data of the task { "cups": 4' in text
    assert "s3cr3t" not in text
    manual = text_of(page_of(task.run_now(), parts="what"))
    assert 'User data { "cups": 4' in manual


def test_the_run_page_shows_the_message_as_the_function_received_it():
    run = failed()
    shown = text_of(page_of(run, parts="what"))
    assert f'"type": "sisy.run_task", "id": {run.task_id}, "run": {run.pk}' in shown


def test_the_run_page_links_to_related_runs():
    run = failed()
    again = run.retry()
    page = page_of(run, parts="related")
    assert "Retried by" in text_of(page)
    assert f'href="/sisy/runs/{again.pk}/"' in page.content.decode()
    assert "Retry of" in text_of(page_of(again, parts="related"))


def test_only_applicable_and_permitted_actions_are_offered():
    run = failed()
    page = page_of(run, "run_task", "cancel_run").content.decode()
    assert "do/retry/" in page
    assert "do/cancel/" not in page
    assert "do/retry/" not in page_of(run, "cancel_run").content.decode()
    queued = run.retry()
    page = page_of(queued, "run_task", "cancel_run").content.decode()
    assert "do/cancel/" in page
    assert "do/retry/" not in page


@pytest.mark.parametrize(
    ("verb", "permission"),
    [("retry", "run_task"), ("cancel", "cancel_run"), ("cancel_force", "cancel_run")],
)
def test_each_button_needs_its_permission(verb, permission):
    run = failed()
    others = {"run_task", "cancel_run", "pause_task"} - {permission}
    address = f"/sisy/runs/do/{verb}/"
    assert browser_of("view_task", *others).post(address, {"pk": run.pk}).status_code == 403
    assert browser_of("view_task", permission).post(address, {"pk": run.pk}).status_code == 302


def test_a_run_is_retried_and_cancelled():
    run = failed()
    client = browser_of_superuser()
    here = f"/sisy/runs/{run.pk}/"
    page = client.post("/sisy/runs/do/retry/", {"pk": run.pk, "next": here}, follow=True)
    assert "Submitted 1 retry." in text_of(page)
    again = Run.objects.get(retry_of=run)
    page = press(client, "/sisy/runs/do/cancel/", {"pk": again.pk, "next": here})
    assert "Cancelled 1 queued run." in text_of(page)


def test_the_run_of_a_deleted_task_is_still_shown():
    run = failed()
    Task.objects.all().delete()
    run.refresh_from_db()
    assert "report deleted" in text_of(page_of(run, parts="head"))
    assert page_of(run).status_code == 200


def test_a_gap_shows_how_many_occurrences_it_covers():
    scheduled()
    tick("default", NOON)
    tick("default", NOON + 4 * MINUTE + SECOND)
    gap = Run.objects.get(state=RunState.MISSED)
    assert "Occurrences 3 2026-05-05 12:01:00 to 2026-05-05 12:03:00" in text_of(
        page_of(gap, parts="head")
    )


def test_a_deleted_run_is_not_found():
    page = browser_of_superuser().get("/sisy/runs/999/")
    assert page.status_code == 404
    assert "Run #999 does not exist" in page.content.decode()


def listed(**asked):
    page = browser_of("view_task").get(f"/sisy/runs/?{urlencode(asked)}").content.decode()
    return [int(pk) for pk in re.findall(r'id="run-(\d+)"', page)]


def test_the_ledger_shows_the_newest_first():
    first, second = failed(), failed()
    assert listed() == [second.pk, first.pk]


def test_runs_are_found_by_their_visible_fields():
    run = failed()
    queued = run.retry()
    other = scheduled(label="mail", queue="slow", fn=jobs.anoop).run_now()
    assert listed(state="failed") == [run.pk]
    assert listed(state="queued") == [other.pk, queued.pk]
    assert listed(queue="slow") == [other.pk]
    assert listed(origin="retry") == [queued.pk]
    assert listed(search="REPO") == [queued.pk, run.pk]
    assert listed(state="x") == listed(origin="y") == []


def test_searches_without_an_index_cover_the_newest_runs(monkeypatch):
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 2)
    runs = [scheduled(label="a").run_now(), *(scheduled(label="b").run_now() for _ in range(2))]
    assert listed(search="a") == []
    page = browser_of("view_task").get("/sisy/runs/?search=a")
    assert (
        "Searched 2 runs, back to 2026-05-05 12:00:00. All runs of a task: a Search further back"
    ) in text_of(page)
    assert listed(search="a", before=runs[1].pk) == [runs[0].pk]
    assert listed() == [run.pk for run in reversed(runs[1:])]


def test_a_refresh_of_a_search_finds_what_the_page_has_shown(monkeypatch):
    monkeypatch.setattr(walk, "BATCH", 2)
    found = scheduled(label="a").run_now()
    for _ in range(4):
        scheduled(label="b").run_now()
    address = "/sisy/runs/?search=a"
    client = browser_of("view_task")
    [carried] = re.findall(r'data-sisy-carry="(.*?)"', client.get(address).content.decode())
    assert carried == "looked=5"
    seconds = count(0, 0.15)  # the database is slower when the page refreshes
    monkeypatch.setattr(walk.clock, "steady", lambda: next(seconds))
    assert f"#{found.pk}" not in text_of(client.get(f"{address}&parts=list"))
    again = text_of(client.get(f"{address}&parts=list&{carried}"))
    assert f"#{found.pk}" in again
    assert "Unknown URL parameter" not in text_of(client.get(f"{address}&{carried}"))


def test_the_ledger_is_paginated():
    task = scheduled("0 0 1 1 *", overlap="allow")
    for _ in range(60):
        task.run_now()
    first = listed()
    assert len(first) == 50
    assert listed(before=first[-1]) == sorted(
        Run.objects.filter(pk__lt=first[-1]).values_list("pk", flat=True), reverse=True
    )
    for nonsense in ("x", "-1", "9" * 40):
        assert len(listed(before=nonsense)) == 50


def test_the_ledgers_queries_do_not_grow_with_its_length(django_assert_max_num_queries):
    task = scheduled("0 0 1 1 *", overlap="allow")
    for _ in range(60):
        task.run_now()
    client = browser_of("view_task")
    client.get("/sisy/runs/")
    with django_assert_max_num_queries(9):
        client.get("/sisy/runs/")


def test_a_skipped_run_links_to_the_run_that_blocked_it():
    scheduled()
    tick("default", NOON)
    tick("default", NOON + MINUTE)
    [going] = claim(worker(), ["default"], 1, NOON + MINUTE)
    tick("default", NOON + 2 * MINUTE)
    assert claim(worker(), ["default"], 1, NOON + 2 * MINUTE) == []
    skipped = Run.objects.get(state=RunState.SKIPPED)
    page = page_of(skipped, parts="related")
    assert "Blocked by" in text_of(page)
    assert f'href="/sisy/runs/{going.pk}/"' in page.content.decode()
