"""What will happen tonight? The page lists by time what is seldom due."""

import re

import pytest
from django.core.cache import cache

from sisy.models import Run, Task
from sisy.reports import agenda as report
from sisy.reports import durations
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.app import jobs
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture(autouse=True)
def _nothing_is_cached():
    cache.clear()


def listed():
    return text_of(browser_of("view_task").get("/sisy/load/?parts=agenda"))


def test_what_is_seldom_due_is_listed_by_time():
    scheduled("0 3 * * *", label="backup")
    scheduled("30 22 * * *", label="invoices")
    scheduled("0 18,3 * * *", label="report")
    words = listed()
    expected = ["18:00:00 report", "22:30:00 invoices", "2026-05-06 03:00:00 backup , report"]
    places = [words.index(each) for each in expected]
    assert places == sorted(places)


def test_tasks_with_one_schedule_share_a_line():
    for number in range(5):
        scheduled("0 3 * * *", label=f"invoice {number}")
    assert "03:00:00 invoice 0 (and 4 more) Open tasks" in listed()


def test_tasks_that_are_due_often_are_only_counted():
    scheduled("*/5 * * * *", label="mail")
    scheduled("0 */4 * * *", label="sync")
    scheduled("0 */3 * * *", label="poll")
    words = listed()
    assert "2 tasks that are due more than 6 times are not listed: poll, mail." in words
    assert "16:00:00 sync" in words
    assert "poll due 8 times mail due 288 times Open all tasks" in words
    assert words.count("mail") == words.count("poll") == 2


def test_tasks_that_are_due_often_are_named_as_groups(monkeypatch):
    for number in range(3):
        scheduled("0 * * * *", label=f"poll {number}")
        scheduled(f"*/1{number} * * * *", label=f"check {number}")
    assert "not listed: poll 0 (and 2 more), check 2, check 0, check 1. poll 0" in listed()
    monkeypatch.setattr("sisy.dashboard.pages.load.MAX_FREQUENT_NAMED", 2)
    cache.clear()
    assert "6 tasks that are" in listed()
    assert "not listed: poll 0 (and 2 more), check 2 and 2 more. poll 0" in listed()


def test_all_tasks_that_are_due_often_are_listed_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(report, "MAX_FREQUENT_LISTED", 7)
    tasks = [scheduled(f"{number} * * * *", label=f"poll {number}") for number in range(9)]
    scheduled("8 * * * *", label="poll 8 again")
    words = listed()
    assert "not listed: poll 8 (and 1 more), poll 0, poll 1, poll 2, poll 3 and 4 more." in words
    assert "poll 4 due 24 times poll 5 due 24 times and 2 more Open all tasks" in words
    assert (f"/sisy/tasks/{tasks[5].pk}/", "poll 5") in links()


def test_of_many_tasks_of_a_moment_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(report, "MAX_TASKS_NAMED", 2)
    for schedule, labels in (("0 3 * * *", "abc"), ("0 3,4 * * *", "de"), ("0 3,5 * * *", "f")):
        for label in labels:
            scheduled(schedule, label=label)
    assert "03:00:00 a (and 2 more) , d (and 1 more) and 1 more Open tasks" in listed()


def links():
    html = browser_of("view_task").get("/sisy/load/?parts=agenda").content.decode()
    return re.findall(r'<a href="([^"]*)">([^<]*)</a>', html)


def test_a_label_leads_to_its_task_or_to_the_tasks_with_it():
    backup = scheduled("0 3 * * *", label="backup")
    for number in range(2):
        scheduled("0 4 * * *", label=f"a & b {number}")
    found = links()
    assert (f"/sisy/tasks/{backup.pk}/", "backup") in found
    assert ("/sisy/tasks/?search=a%20%26%20b%200", "a &amp; b 0") in found


def test_what_runs_once_leads_to_its_task():
    Task.run_once(jobs.noop, delay_until=NOON + HOUR, label="migrate")
    assert (f"/sisy/tasks/{Task.objects.get().pk}/", "migrate") in links()


def test_what_runs_once_is_listed_too():
    for ahead, label in ((9 * HOUR, "migrate the archive"), (2 * DAY, "in two days")):
        Task.run_once(jobs.noop, delay_until=NOON + ahead, label=label)
    words = listed()
    assert "21:00:00 migrate the archive" in words
    assert "in two days" not in words


def test_a_moment_leads_to_the_tasks_that_are_due_then():
    scheduled("0 3 * * *", label="backup")
    browser = browser_of("view_task")
    html = browser.get("/sisy/load/?parts=agenda").content.decode()
    address = html.partition('href="/sisy/load/peak/')[2].partition('"')[0]
    assert "backup" in text_of(browser.get(f"/sisy/load/peak/{address}"))


def test_what_was_due_since_the_list_was_computed_is_no_longer_listed(now):
    scheduled("1 12 * * *", label="lunch")
    assert "lunch" in listed()
    now.moment = NOON + MINUTE
    assert "lunch" not in listed()


def test_a_paused_task_is_not_listed():
    task = scheduled("0 3 * * *", label="backup")
    task.pause()
    assert "No task is due in this range." in listed()


def test_times_beyond_those_listed_are_counted(monkeypatch):
    monkeypatch.setattr(report, "MAX_LISTED", 2)
    for hour in (14, 16, 18):
        scheduled(f"0 {hour} * * *", label=f"at {hour}")
    words = listed()
    assert "16:00:00 at 16" in words
    assert "at 18" not in words
    assert "1 later due time is not listed." in words


def test_a_schedule_that_became_invalid_stops_no_other():
    broken = scheduled("0 3 * * *", label="broken")
    scheduled("0 4 * * *", label="backup")
    Task._base_manager.filter(pk=broken.pk).update(timezone="Europe/Atlantis")
    assert "backup" in listed()


def test_a_run_of_a_deleted_task_leads_to_no_page_of_it():
    Task.run_once(jobs.noop, delay_until=NOON + HOUR, label="migrate")
    Task.objects.get().delete()
    Run.objects.update(state="queued")
    assert ("/sisy/tasks/?search=migrate", "migrate") in links()


def test_the_typical_duration_is_shown():
    task = scheduled("0 3 * * *", label="backup")
    times = {"ready_at": NOON - DAY, "started_at": NOON - DAY}
    task.new_run(
        now=NOON - DAY, state="succeeded", finished_at=NOON - DAY + 7 * MINUTE, **times
    ).save()
    assert "backup 7 min Open" in listed()


def test_the_typical_duration_of_several_tasks_is_that_of_each():
    first, *_ = [scheduled("0 3 * * *", label=f"invoice {n}") for n in range(3)]
    other = scheduled("0 2-4 * * *", label="report")
    for task, minutes in ((first, 7), (other, 9)):
        times = {"started_at": NOON - DAY, "finished_at": NOON - DAY + minutes * MINUTE}
        task.new_run(now=NOON - DAY, ready_at=NOON - DAY, state="succeeded", **times).save()
    words = listed()
    assert "02:00:00 report 9 min Open" in words
    assert "03:00:00 invoice 0 (and 2 more) , report up to 9 min each Open" in words
    cache.clear()
    other.pause()
    assert "03:00:00 invoice 0 (and 2 more) 7 min each Open" in listed()


def test_the_duration_of_a_task_that_ran_once_long_ago_is_shown(monkeypatch):
    monkeypatch.setattr(durations, "MAX_RUNS_SAMPLED", 3)
    task, often = scheduled("0 3 * * *", label="backup"), scheduled("* * * * *", label="often")
    for each, minutes in ((task, 7), *[(often, 1)] * 3):
        times = {"ready_at": NOON - DAY, "started_at": NOON - DAY}
        end = NOON - DAY + minutes * MINUTE
        each.new_run(now=NOON - DAY, state="succeeded", finished_at=end, **times).save()
    assert "backup 7 min" in listed()


def test_the_typical_duration_of_a_retry_is_that_of_its_task():
    task = scheduled("0 0 1 1 *", label="yearly")
    times = {"ready_at": NOON - DAY, "started_at": NOON - DAY}
    task.new_run(
        now=NOON - DAY, state="succeeded", finished_at=NOON - DAY + 7 * MINUTE, **times
    ).save()
    run = task.new_run(now=NOON, ready_at=NOON + HOUR)
    run.save()
    assert "13:00:00 yearly 7 min" in listed()


def test_the_statements_of_the_agenda_are_constant(django_assert_max_num_queries):
    for hour in range(1, 12):
        scheduled(f"0 {hour} * * *", label=f"at {hour}")
    browser = browser_of("view_task")
    with django_assert_max_num_queries(14):
        browser.get("/sisy/load/?parts=agenda")
