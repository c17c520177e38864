"""The days of a year on the page of a task."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sisy.dashboard.charts.year import WEEKS, year_of
from sisy.models import Run, RunState
from sisy.reports import daily
from sisy.reports.daily import days_of
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

TODAY = date(2026, 5, 5)


@pytest.fixture
def task():
    return scheduled("0 0 1 1 *", label="tea")


def ended(task, ago, state=RunState.SUCCEEDED, **columns):
    moment = NOON - ago
    run = task.new_run(now=moment, state=state, started_at=moment, finished_at=moment, **columns)
    run.save()
    return run


def days(task, zone=UTC):
    return days_of("default", task, zone)


def looks(task):
    """Return the class of each day with runs."""
    year = year_of(days(task), TODAY, UTC)
    return {cell.day.isoformat(): cell.looks for cell in year.cells if cell.is_link}


def page(task, *permissions):
    return browser_of("view_task", *permissions).get(f"/sisy/tasks/{task.pk}/")


def test_a_day_shows_how_its_runs_ended(task):
    ended(task, HOUR)
    ended(task, DAY)
    ended(task, DAY + MINUTE, RunState.FAILED)
    ended(task, 2 * DAY)
    ended(task, 2 * DAY + MINUTE)
    ended(task, 2 * DAY + HOUR, RunState.TIMED_OUT)
    ended(task, 3 * DAY, RunState.MISSED, count=40)
    ended(task, 3 * DAY + MINUTE)
    assert looks(task) == {
        "2026-05-05": "good",
        "2026-05-04": "bad",
        "2026-05-03": "some",
        "2026-05-02": "warn",
    }
    shown = page(task).content.decode()
    assert "2026-05-03: 2 succeeded, 1 timed out" in shown
    assert "2026-05-02: 40 missed, 1 succeeded" in shown
    assert "2026-05-01: no runs" in shown


def test_a_day_belongs_to_the_zone_of_the_page(task):
    ended(task, 10 * HOUR)  # 02:00 UTC
    assert list(days(task).by_date) == [TODAY]
    assert list(days(task, ZoneInfo("America/New_York")).by_date) == [date(2026, 5, 4)]


def test_a_year_is_53_weeks_from_a_monday(task):
    year = year_of(days(task), TODAY, UTC)
    assert len(year.cells) == 7 * (WEEKS - 1) + 2
    assert year.cells[0].day == date(2025, 5, 5)
    assert year.cells[-1].day == TODAY
    assert {cell.looks for cell in year.cells} == {"none"}
    assert [name for _, name in year.months][:3] == ["May", "Jun", "Jul"]


def test_queued_and_running_runs_are_not_counted(task):
    task.run_now()
    assert looks(task) == {}


def test_a_busy_task_shows_how_far_back_its_runs_were_read(task, monkeypatch):
    for ago in (4 * DAY, 3 * DAY):
        ended(task, ago, RunState.FAILED)
    ended(task, 2 * DAY)
    for ago in (DAY + HOUR, DAY, HOUR):
        ended(task, ago)
    monkeypatch.setattr(daily, "MAX_RUNS_READ", 2)
    found = days(task)
    assert (found.complete_since, found.known_since) == (TODAY, None)
    assert looks(task) == {
        "2026-05-05": "good",
        "2026-05-04": "good",
        "2026-05-02": "some",
        "2026-05-01": "some",
    }
    shown = page(task)
    assert "2026-05-02: 1 failed, successful runs are not counted" in shown.content.decode()
    assert "2026-05-03: successful runs are not counted" in shown.content.decode()
    assert "Covers the latest 2 runs. Days before 2026-05-05 show only runs" in text_of(shown)


def test_runs_are_read_in_batches_until_time_is_up(task, monkeypatch):
    for number in range(6):
        ended(task, (5 - number) * DAY)
    monkeypatch.setattr(daily, "BATCH", 2)
    assert days(task).runs == 6
    assert days(task).complete_since is None
    monkeypatch.setattr(daily, "MAX_SECONDS", 0)
    assert days(task).runs == 2
    assert days(task).complete_since == TODAY


def test_days_before_the_oldest_known_failure_are_not_read(task, monkeypatch):
    for number in range(6):
        ended(task, (6 - number) * DAY, RunState.FAILED)
    monkeypatch.setattr(daily, "MAX_RUNS_READ", 2)
    monkeypatch.setattr(daily, "MAX_TROUBLED_READ", 2)
    found = days(task)
    assert found.known_since == date(2026, 5, 2)
    assert found.at(date(2026, 4, 20)) is None
    assert "2026-04-20: not counted" in page(task).content.decode()


def test_a_day_leads_to_its_runs(task):
    first, last = ended(task, DAY + 12 * HOUR), ended(task, DAY - 11 * HOUR)
    ended(task, DAY + 13 * HOUR)
    ended(task, HOUR)
    other = scheduled(label="tea")
    ended(other, DAY)
    browser = browser_of_superuser()
    shown = browser.get(f"/sisy/tasks/{task.pk}/").content.decode()
    [address] = {
        found.replace("&amp;", "&")
        for found in re.findall(r'href="(/sisy/runs/[^"]*since=2026-05-04[^"]*)"', shown)
    }
    listed = browser.get(address)
    assert re.findall(r'id="run-(\d+)"', listed.content.decode()) == [
        str(last.pk),
        str(first.pk),
    ]
    assert "Only runs of tea · All tasks" in text_of(listed)
    assert 'name="until" step="1" value="2026-05-05T00:00:00"' in listed.content.decode()
    everything = browser.get("/sisy/runs/", {"task": "0"})
    assert "task 0, which does not exist" in text_of(everything)
    assert 'id="run-' not in everything.content.decode()


def test_the_runs_of_a_task_that_was_deleted_are_still_listed(task):
    run = ended(task, HOUR)
    pk = task.pk
    task.delete()
    listed = browser_of_superuser().get("/sisy/runs/", {"task": pk}).content.decode()
    assert f'id="run-{run.pk}"' in listed
    assert Run.objects.count() == 1


def test_statements_do_not_grow_with_days(task, django_assert_max_num_queries):
    for number in range(60):
        ended(task, timedelta(days=number))
    browser = browser_of_superuser()
    browser.get(f"/sisy/tasks/{task.pk}/")
    with django_assert_max_num_queries(24):
        browser.get(f"/sisy/tasks/{task.pk}/")


def test_midnight_in_the_fold_is_the_first_one(task):
    zone = ZoneInfo("America/Havana")  # 2026-11-01: the clocks go back at 01:00 to 00:00
    year = year_of(days(task, zone), date(2026, 11, 2), zone)
    [cell] = [cell for cell in year.cells if cell.day == date(2026, 11, 1)]
    assert "since=2026-11-01T00%3A00%3A00-04%3A00" in cell.query
    assert datetime(2026, 11, 1, 4, tzinfo=UTC).astimezone(zone).date() == cell.day


def test_each_missed_occurrence_of_an_earlier_day_is_counted(task, monkeypatch):
    monkeypatch.setattr(daily, "MAX_RUNS_READ", 1)
    ended(task, 3 * DAY, RunState.MISSED, count=40)
    ended(task, 3 * DAY + MINUTE)
    ended(task, 3 * DAY, RunState.MISSED)
    ended(task, HOUR)
    found = days(task).at(TODAY - 3 * DAY)
    assert found is not None
    assert (found.states, found.is_complete) == ({RunState.MISSED: 41}, False)
