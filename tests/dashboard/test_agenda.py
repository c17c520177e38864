"""What will happen tonight? The page lists by time what is seldom due."""

import re
from urllib.parse import urlencode

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
    assert "03:00:00 invoice 0 and 4 more" in listed()


def test_tasks_that_are_due_often_are_only_counted():
    scheduled("*/5 * * * *", label="mail")
    scheduled("0 */4 * * *", label="sync")
    scheduled("0 */3 * * *", label="poll")
    words = listed()
    assert "2 tasks that are due more than 6 times are not listed: poll, mail." in words
    assert "16:00:00 sync" in words
    assert words.count("mail") == words.count("poll") == 1


def test_tasks_that_are_due_often_are_named_as_groups(monkeypatch):
    for number in range(3):
        scheduled("0 * * * *", label=f"poll {number}")
        scheduled(f"*/1{number} * * * *", label=f"check {number}")
    assert "not listed: poll 0 (and 2 more), check 2, check 0, check 1. Open" in listed()
    monkeypatch.setattr(report, "MAX_FREQUENT_NAMED", 2)
    cache.clear()
    assert "6 tasks that are" in listed()
    assert "not listed: poll 0 (and 2 more), check 2 and 2 more. Open" in listed()


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
    assert "No other task is due." in listed()


def test_times_beyond_those_listed_are_counted(monkeypatch):
    monkeypatch.setattr(report, "MAX_LISTED", 2)
    for hour in (14, 16, 18):
        scheduled(f"0 {hour} * * *", label=f"at {hour}")
    words = listed()
    assert "16:00:00 at 16" in words
    assert "at 18" not in words
    assert "Tasks are due at 1 later time." in words


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
    assert "backup 7 min" in listed()


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


class TestRange:
    """A range that the reader typed, in the zone of the page."""

    TONIGHT = ("2026-05-05T23:00", "2026-05-06T02:00")

    def asked(self, start, end, **others):
        address = f"/sisy/load/?{urlencode({'start': start, 'end': end, **others})}"
        return text_of(browser_of("view_task").get(address)).partition("Load of the")[0]

    def test_what_is_due_tonight_is_listed(self):
        scheduled("0 0 * * *", label="invoices")
        scheduled("0 3 * * *", label="backup")
        words = self.asked(*self.TONIGHT)
        assert "Due from 23:00:00 to 02:00:00 UTC" in words
        assert "2026-05-06 00:00:00 invoices" in words
        assert "backup" not in words

    def test_the_start_belongs_to_the_range_and_the_end_does_not(self):
        scheduled("0 23,2 * * *", label="report")
        words = self.asked(*self.TONIGHT)
        assert "23:00:00 report" in words
        assert "02:00:00 report" not in words

    def test_hourly_tasks_are_listed_in_a_short_range(self):
        scheduled("0 * * * *", label="hourly")
        scheduled("*/5 * * * *", label="often")
        words = self.asked(*self.TONIGHT)
        for moment in ("23:00:00", "2026-05-06 00:00:00", "2026-05-06 01:00:00"):
            assert f"{moment} hourly" in words
        assert "1 task that is due more than 6 times is not listed: often." in words

    def test_without_a_range_the_next_24_hours_are_listed(self):
        scheduled("0 3 * * *", label="backup")
        for start, end in (("", ""), ("2026-05-05T23:00", "2026-05-05T22:00")):
            words = self.asked(start, end)
            assert "Due in the next 24 hours" in words
            assert "03:00:00 backup" in words

    def test_the_range_is_read_in_the_zone_of_the_page(self, settings):
        settings.TIME_ZONE = "Europe/Berlin"
        scheduled("30 21 * * *", label="late")
        words = self.asked(*self.TONIGHT)
        assert "Due from 23:00:00 to 02:00:00 Europe/Berlin" in words
        assert "23:30:00 late" in words

    @pytest.mark.parametrize(
        ("start", "end", "error"),
        [
            ("2026-05-06T00:00", "2026-05-05T23:00", "The start must be before the end."),
            ("2026-05-06", "2026-05-14", "The range is 8 days long. Use at most 7 days."),
            ("2026-05-06", "", "This field is required."),
            ("", "2026-05-06", "This field is required."),
            ("tonight", "2026-05-06", "Enter a valid date/time."),
            ("0001-01-01", "0001-01-02", "start must be within the years"),
        ],
    )
    def test_a_range_that_cannot_be_listed_is_an_error(self, start, end, error):
        assert error in self.asked(start, end)

    def test_a_week_in_which_the_clocks_change_may_be_listed(self, settings):
        settings.TIME_ZONE = "Europe/Berlin"
        assert "Due from" in self.asked("2026-10-22", "2026-10-29")

    def test_of_a_range_that_has_begun_only_the_rest_is_listed(self):
        scheduled("0 11 * * *", label="morning")
        scheduled("0 13 * * *", label="lunch")
        words = self.asked("2026-05-05T10:00", "2026-05-05T14:00")
        assert "13:00:00 lunch" in words
        assert "morning" not in words

    def test_a_range_that_is_over_leads_to_its_runs(self):
        scheduled("0 11 * * *", label="morning")
        query = urlencode({"start": "2026-05-05T10:00", "end": "2026-05-05T12:00"})
        page = browser_of("view_task").get(f"/sisy/load/?{query}")
        assert "This range is over. Open its runs" in text_of(page)
        runs = (
            "?start=2026-05-05T10%3A00%3A00%2B00%3A00&amp;until=2026-05-05T12%3A00%3A00%2B00%3A00"
        )
        assert runs in page.content.decode()

    def test_a_range_may_be_further_ahead_than_the_load(self):
        scheduled("0 3 1 6 *", label="yearly")
        query = urlencode({"start": "2026-06-01", "end": "2026-06-02"})
        browser = browser_of("view_task")
        html = browser.get(f"/sisy/load/?{query}&parts=agenda").content.decode()
        address = html.partition('href="/sisy/load/peak/')[2].partition('"')[0]
        assert "yearly" in html
        assert "yearly" in text_of(browser.get(f"/sisy/load/peak/{address}"))

    def test_each_range_is_its_own_and_only_one_of_them_is_cached(self):
        scheduled("0 0 * * *", label="invoices")
        scheduled("0 13 * * *", label="lunch")
        before = None
        for hour in range(1, 9):
            words = self.asked(f"2026-05-05T{hour + 11}:00", "2026-05-06T02:00", parts="agenda")
            assert "00:00:00 invoices" in words
            assert ("13:00:00 lunch" in words) == (hour < 3)
            stored = len(cache._cache)
            assert before in (None, stored)
            before = stored
        scheduled("0 1 * * *", label="new")
        assert "new" not in self.asked("2026-05-05T19:00", "2026-05-06T02:00", parts="agenda")
        assert "00:00:00 invoices" in listed()
