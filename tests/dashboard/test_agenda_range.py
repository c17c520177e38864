"""The agenda of a range that the reader typed, in the zone of the page."""

from urllib.parse import urlencode

import pytest
from django.core.cache import cache

from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture(autouse=True)
def _nothing_is_cached():
    cache.clear()


def listed():
    return text_of(browser_of("view_task").get("/sisy/load/?parts=agenda"))


TONIGHT = ("2026-05-05T23:00", "2026-05-06T02:00")


def asked(start, end, **others):
    address = f"/sisy/load/?{urlencode({'start': start, 'end': end, **others})}"
    return text_of(browser_of("view_task").get(address)).partition("Load of the")[0]


def test_what_is_due_tonight_is_listed():
    scheduled("0 0 * * *", label="invoices")
    scheduled("0 3 * * *", label="backup")
    words = asked(*TONIGHT)
    assert "Due from 23:00:00 to 02:00:00 UTC" in words
    assert "2026-05-06 00:00:00 invoices" in words
    assert "backup" not in words


def test_the_start_and_the_end_belong_to_the_range():
    scheduled("0 23,2 * * *", label="report")
    scheduled("0 2 * * * 1", label="later")
    scheduled("59 22 * * *", label="earlier")
    words = asked(*TONIGHT)
    assert "23:00:00 report" in words
    assert "02:00:00 report" in words
    assert "later" not in words
    assert "earlier" not in words


def test_busy_times_follow_the_range_and_charts_say_that_they_do_not():
    for schedule, label in (("0 3 * * *", "backup"), ("0 2 * * *", "last"), ("0 22 * * *", "no")):
        for number in range(2):
            scheduled(schedule, label=f"{label} {number}")
    client = browser_of("view_task")
    note = "The charts always start now, regardless of the range."
    start, end = TONIGHT
    for query, heading, found in (
        ({"start": start, "end": end}, "from 23:00:00 to 02:00:00", ["last"]),
        ({}, "of the next 24 hours", ["no", "last", "backup"]),
        ({"start": "2026-05-04", "end": "2026-05-05"}, "of the next 24 hours", None),
        ({"start": "2026-05-20", "end": "2026-05-20T02:30"}, "from 2026-05-20 00:00:00", ["last"]),
    ):
        text = text_of(client.get(f"/sisy/load/?{urlencode(query)}&parts=map"))
        times = text[text.index("Busiest times") :]
        assert times.startswith(f"Busiest times {heading}")
        assert (note in text) == bool(query)
        named = [label for label in ("no", "last", "backup") if f" {label} 0 " in times]
        assert named == (found or ["no", "last", "backup"])


def test_hourly_tasks_are_listed_in_a_short_range():
    scheduled("0 * * * *", label="hourly")
    scheduled("*/5 * * * *", label="often")
    words = asked(*TONIGHT)
    for moment in ("23:00:00", "2026-05-06 00:00:00", "2026-05-06 01:00:00"):
        assert f"{moment} hourly" in words
    assert "1 task that is due more than 6 times is not listed: often." in words


def test_without_a_range_the_next_24_hours_are_listed():
    scheduled("0 3 * * *", label="backup")
    for start, end in (("", ""), ("2026-05-05T23:00", "2026-05-05T22:00")):
        words = asked(start, end)
        assert "Due in the next 24 hours" in words
        assert "03:00:00 backup" in words


def test_the_range_is_read_in_the_zone_of_the_page(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    scheduled("30 21 * * *", label="late")
    words = asked(*TONIGHT)
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
def test_a_range_that_cannot_be_listed_is_an_error(start, end, error):
    assert error in asked(start, end)


def test_a_week_in_which_the_clocks_change_may_be_listed(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    assert "Due from" in asked("2026-10-22", "2026-10-29")


def test_of_a_range_that_has_begun_only_the_rest_is_listed():
    scheduled("0 11 * * *", label="morning")
    scheduled("0 13 * * *", label="lunch")
    words = asked("2026-05-05T10:00", "2026-05-05T14:00")
    assert "13:00:00 lunch" in words
    assert "morning" not in words


def test_a_range_that_is_over_leads_to_its_runs():
    scheduled("0 11 * * *", label="morning")
    query = urlencode({"start": "2026-05-05T10:00", "end": "2026-05-05T12:00"})
    page = browser_of("view_task").get(f"/sisy/load/?{query}")
    assert "This range is over. Open its runs" in text_of(page)
    runs = "?start=2026-05-05T10%3A00%3A00%2B00%3A00&amp;until=2026-05-05T12%3A00%3A00%2B00%3A00"
    assert runs in page.content.decode()


def test_a_range_may_be_further_ahead_than_the_load():
    scheduled("0 3 1 6 *", label="yearly")
    query = urlencode({"start": "2026-06-01", "end": "2026-06-02"})
    browser = browser_of("view_task")
    html = browser.get(f"/sisy/load/?{query}&parts=agenda").content.decode()
    address = html.partition('href="/sisy/load/peak/')[2].partition('"')[0]
    assert "yearly" in html
    assert "yearly" in text_of(browser.get(f"/sisy/load/peak/{address}"))


def test_each_range_is_its_own_and_only_one_of_them_is_cached():
    scheduled("0 0 * * *", label="invoices")
    scheduled("0 13 * * *", label="lunch")
    before = None
    for hour in range(1, 9):
        words = asked(f"2026-05-05T{hour + 11}:00", "2026-05-06T02:00", parts="agenda")
        assert "00:00:00 invoices" in words
        assert ("13:00:00 lunch" in words) == (hour < 3)
        stored = len(cache._cache)
        assert before in (None, stored)
        before = stored
    scheduled("0 1 * * *", label="new")
    assert "new" not in asked("2026-05-05T19:00", "2026-05-06T02:00", parts="agenda")
    assert "00:00:00 invoices" in listed()
