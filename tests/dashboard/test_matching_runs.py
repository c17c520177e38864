"""Runs are filtered, sorted, exported, and retried or cancelled all at once."""

import csv
import json
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.test import AsyncClient

from sisy.dashboard.pages import export, matching
from sisy.models import Run, RunState
from sisy.reports import run_filter, walk
from tests.admin.pages import messages_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def task():
    return scheduled("0 0 1 1 *", label="import", overlap="allow")


def ended(task, state=RunState.FAILED, at=NOON - HOUR, took=SECOND, **columns):
    """Store a run of a task that ended at a moment, and return it."""
    # Each occurrence of a task is due at a moment of its own.
    due_at = at - took - task.runs.count() * timedelta(milliseconds=1)
    run = task.new_run(now=at - took, due_at=due_at, state=state)
    run.started_at, run.finished_at = at - took, at
    for name, value in columns.items():
        setattr(run, name, value)
    run.save()
    return run


def listed(*permissions, **asked):
    client = browser_of("view_task", *permissions) if permissions else browser_of_superuser()
    page = client.get(f"/sisy/runs/?{urlencode(asked)}").content.decode()
    return [int(pk) for pk in re.findall(r'id="run-(\d+)"', page)]


def exported(kind, *permissions, **asked):
    client = browser_of("view_task", *permissions) if permissions else browser_of_superuser()
    answer = client.get(f"/sisy/runs/export.{kind}?{urlencode(asked)}")
    return b"".join(answer.streaming_content).decode()


def test_runs_are_found_by_time_function_worker_and_text(task):
    old = ended(task, at=NOON - 3 * DAY, reason="KeyError: 'price'")
    new = ended(task, at=NOON - MINUTE, state=RunState.TIMED_OUT)
    assert listed(since="1h") == [new.pk]
    assert listed(since="7d") == [new.pk, old.pk]
    assert listed(until="2026-05-04T12:00") == [old.pk]
    assert listed(since="2026-05-05T11:00+00:00") == [new.pk]
    assert listed(state="unsuccessful") == [new.pk, old.pk]
    assert listed(text="price") == [old.pk]
    assert listed(function="jobs.noop") == [new.pk, old.pk]
    assert listed(function="noop_") == listed(worker="nowhere") == []


def test_text_of_errors_is_searched_only_by_those_who_may_read_it(task):
    ended(task, reason="KeyError: 'price'")
    other = ended(task, reason="another")
    assert len(listed("view_run", text="price")) == 2
    assert listed("view_run_details", text="another") == [other.pk]
    page = browser_of("view_task").get("/sisy/runs/").content.decode()
    assert 'name="text"' not in page


def test_what_was_found_is_sorted(task):
    short, long, middle = (
        ended(task, took=took) for took in (SECOND, 9 * MINUTE, timedelta(seconds=30))
    )
    assert listed() == [middle.pk, long.pk, short.pk]
    assert listed(sort="duration") == [long.pk, middle.pk, short.pk]
    rows = json.loads(exported("json", sort="duration"))
    assert [row["run"] for row in rows] == [long.pk, middle.pk, short.pk]
    page = text_of(browser_of_superuser().get("/sisy/runs/?sort=duration"))
    assert "Sorted: the newest 3 matching runs." in page


def test_a_sorted_page_shows_the_first_of_those_it_found(task, monkeypatch):
    monkeypatch.setattr(run_filter, "MAX_SORTED", 3)
    runs = [ended(task, took=n * SECOND) for n in (9, 1, 2, 3)]
    assert listed(sort="duration") == [runs[3].pk, runs[2].pk, runs[1].pk]


def test_a_bad_time_is_explained_on_the_page():
    page = text_of(browser_of_superuser().get("/sisy/runs/?since=yesterday"))
    assert "Use a duration before now, such as 30m, 2h or 7d" in page


def address_of(verb, **asked):
    return f"/sisy/runs/matching/{verb}/?{urlencode(asked)}"


def pressed(verb, *, browser=None, **asked):
    """Return the answer to a person who reads the page of matching runs and presses its button."""
    browser, address = browser or browser_of_superuser(), address_of(verb, **asked)
    return browser.post(address, confirmation(browser.get(address)), follow=True)


def confirmation(page):
    """Return the fields that the button of a page of matching runs sends."""
    fields = re.findall(r'name="(seen|older)" value="([^"]*)"', page.content.decode())
    return dict(fields)


def test_a_person_sees_how_many_runs_match_before_all_are_retried(task):
    failed = [ended(task), ended(task, state=RunState.LOST)]
    ended(task, state=RunState.SUCCEEDED)
    page = browser_of_superuser().get(address_of("retry", search="import"))
    for words in ("Retry 2 runs?", "1 failed", "1 lost", "Each is submitted again"):
        assert words in text_of(page)
    assert Run.objects.filter(state=RunState.QUEUED).count() == 0
    said = pressed("retry", search="import")
    [message] = messages_of(said)
    assert message.startswith("Submitted 2 retries.")
    retried = Run.objects.filter(state=RunState.QUEUED).values_list("retry_of", flat=True)
    assert set(retried) == {run.pk for run in failed}


def test_all_matching_runs_are_cancelled(task):
    other = scheduled("0 0 1 1 *", label="other").run_now()
    for _ in range(3):
        task.run_now()
    said = pressed("cancel", search="import")
    assert messages_of(said) == ["Cancelled 3 queued runs."]
    assert list(Run.objects.filter(state=RunState.QUEUED)) == [other]


def test_the_list_links_to_what_can_be_done_with_all_that_match(task):
    ended(task)
    link = address_of("retry", state="failed").replace("&", "&amp;")
    page = browser_of_superuser().get("/sisy/runs/?state=failed").content.decode()
    assert f'href="{link}"' in page
    assert "matching/retry" not in browser_of_superuser().get("/sisy/runs/").content.decode()
    page = browser_of("view_task").get("/sisy/runs/?state=failed").content.decode()
    assert "matching/" not in page


def test_a_press_changes_a_limited_number_and_says_that_more_match(task, monkeypatch):
    monkeypatch.setattr(matching, "MAX_CHANGED", 2)
    for _ in range(3):
        ended(task)
    page = text_of(browser_of_superuser().get(address_of("retry", state="failed")))
    assert "Retry 2 runs?" in page
    assert "These are the newest 2. The others follow on the next page." in page
    said = pressed("retry", state="failed")
    [message] = messages_of(said)
    assert message.startswith("Submitted 2 retries.")


def test_the_next_page_asks_about_those_that_were_not_retried_yet(task, monkeypatch):
    monkeypatch.setattr(matching, "MAX_CHANGED", 2)
    runs = [ended(task) for _ in range(3)]
    browser = browser_of_superuser()
    following = pressed("retry", browser=browser, state="failed")
    assert "Retry 1 run?" in text_of(following)
    address = following.redirect_chain[-1][0]
    said = browser.post(address, confirmation(following), follow=True)
    assert messages_of(said)[0].startswith("Submitted 1 retry.")
    retried = Run.objects.filter(retry_of__isnull=False).values_list("retry_of", flat=True)
    assert sorted(retried) == [run.pk for run in runs]


def test_only_the_runs_that_a_person_has_seen_are_changed(task):
    for _ in range(2):
        ended(task)
    browser, address = browser_of_superuser(), address_of("retry", state="failed")
    page = browser.get(address)
    assert "Retry 2 runs?" in text_of(page)
    ended(task)
    said = browser.post(address, confirmation(page), follow=True)
    [message] = messages_of(said)
    assert message.startswith("Submitted 2 retries.")


def test_runs_that_no_longer_match_are_not_changed(task):
    run = task.run_now()
    browser, address = browser_of_superuser(), address_of("retry", state="failed")
    said = browser.post(address, {"seen": str(run.pk)}, follow=True)
    assert messages_of(said) == ["No runs were retried."]


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ({"since": "yesterday"}, "Use a duration before now"),
        ({"state": "queued", "until": "tomorrow"}, "Use a duration before now"),
        ({"state": "queued", "quue": "mail"}, "Unknown URL parameter 'quue'"),
        ({"text": "price"}, "You need the permission sisy.view_run_details"),
    ],
)
def test_nothing_is_changed_or_exported_with_a_wrong_filter(task, filters, error):
    run = task.run_now()
    browser = browser_of("view_task", "cancel_run", "run_task")
    address = address_of("cancel", **filters)
    page = browser.get(address)
    assert error in text_of(page)
    assert "<button>Cancel" not in page.content.decode()
    assert error in text_of(browser.post(address, {"seen": str(run.pk)}, follow=True))
    assert Run.objects.get().state == RunState.QUEUED
    assert error in text_of(browser.get(f"/sisy/runs/?{urlencode(filters)}"))
    answer = browser.get(f"/sisy/runs/export.csv?{urlencode(filters)}")
    assert answer.status_code == 400
    assert error in answer.content.decode()


def test_nothing_is_offered_where_no_run_matches(task):
    ended(task, state=RunState.SUCCEEDED)
    page = browser_of_superuser().get(address_of("retry", search="import"))
    assert "No matching runs can be retried." in text_of(page)
    assert "<button>Retry" not in page.content.decode()


def test_all_runs_of_a_site_are_never_changed_by_one_press(task):
    task.run_now()
    assert browser_of_superuser().post(address_of("cancel")).status_code == 404
    assert browser_of_superuser().get(address_of("delete", state="failed")).status_code == 404
    assert Run.objects.get().state == RunState.QUEUED


def test_each_verb_needs_its_permission(task):
    task.run_now()
    for verb, permission in (("retry", "run_task"), ("cancel", "cancel_run")):
        other = {"run_task", "cancel_run"} - {permission}
        address = address_of(verb, search="import")
        assert browser_of("view_task", *other).post(address).status_code == 403
        assert browser_of("view_task", permission).get(address).status_code == 200


def test_runs_are_exported_as_csv_that_is_safe_to_open(task):
    ended(task, reason="=HYPERLINK(1)", state=RunState.FAILED)
    [row] = csv.DictReader(exported("csv", state="failed").splitlines())
    assert (row["label"], row["state"], row["duration"]) == ("import", "failed", "1.0")
    assert row["reason"] == "'=HYPERLINK(1)"


def test_runs_are_exported_as_json(task):
    runs = [ended(task) for _ in range(3)]
    assert [row["run"] for row in json.loads(exported("json", search="import"))] == [
        run.pk for run in reversed(runs)
    ]
    assert json.loads(exported("json", search="nothing")) == []
    assert exported("csv", search="nothing") == ""


def test_an_export_hides_what_its_reader_may_not_see(task):
    ended(task, reason="KeyError: 'secret'", error_class="builtins.KeyError")
    assert "secret" not in exported("csv", "view_run")
    assert "KeyError" in exported("csv", "view_run")
    assert "secret" in exported("csv", "view_run_details")


def test_an_unknown_kind_of_export_does_not_exist():
    assert browser_of_superuser().get("/sisy/runs/export.xml").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_an_export_is_sent_in_pieces_under_asgi(task, monkeypatch):
    from asgiref.sync import async_to_sync

    monkeypatch.setattr(export, "LINES_AT_ONCE", 2)
    runs = [ended(task) for _ in range(5)]
    client = AsyncClient()
    client.cookies = browser_of_superuser().cookies

    async def pieces():
        answer = await client.get("/sisy/runs/export.json")
        return [piece.decode() async for piece in answer.streaming_content]

    found = async_to_sync(pieces)()
    assert len(found) == 3
    assert len(json.loads("".join(found))) == len(runs)


def test_a_relative_end_is_a_moment_that_the_browsers_field_accepts():
    page = browser_of_superuser().get("/sisy/runs/?until=90m").content.decode()
    [value] = re.findall(r'name="until"[^>]* value="([^"]*)"', page)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", value)


def test_actions_on_all_matches_are_offered_only_if_there_are_some(task):
    ended(task)
    browser = browser_of_superuser()
    assert "all matching runs" in text_of(browser.get("/sisy/runs/?search=import"))
    assert "all matching runs" not in text_of(browser.get("/sisy/runs/?search=nothing"))
    assert "all matching runs" not in text_of(browser.get("/sisy/runs/"))


def test_a_label_search_that_was_cut_short_leads_to_the_runs_of_tasks(task, monkeypatch):
    for _ in range(3):
        ended(task)
    address = "/sisy/runs/?search=imp&amp;state=failed"
    browser = browser_of_superuser()
    link = f'<a href="?state=failed&amp;task={task.pk}">import</a>'
    page = browser.get(address.replace("&amp;", "&"))
    assert "All runs of a task:" not in text_of(page)
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 2)
    page = browser.get(address.replace("&amp;", "&"))
    assert "All runs of a task: import" in text_of(page)
    assert link in page.content.decode()
