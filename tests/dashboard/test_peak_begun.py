"""The page of a time span that contains now: it lists what is still due."""

import re

import pytest
from django.core.cache import cache

from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.database, pytest.mark.django_db]

HOUR_OF_NOON = "/sisy/load/peak/?at=2026-05-05T12:00:00%2B00:00&minutes=60"


@pytest.fixture
def now(at_time):
    cache.clear()
    return at_time(NOON)


@pytest.fixture(autouse=True)
def early(now):
    scheduled("40 12 * * *", label="late")
    return scheduled("10 12 * * *", label="early")


def test_only_what_is_due_from_now_on_is_listed(now):
    now.moment = NOON + 30 * MINUTE
    text = text_of(browser_of("view_task").get(HOUR_OF_NOON))
    assert "1 task, from now on, UTC" in text
    assert "late 12:40:00" in text
    assert "early" not in text


def test_a_span_that_has_not_begun_or_is_over_is_listed_whole(now):
    for moment in (NOON - MINUTE, NOON + HOUR):
        now.moment = moment
        assert "2 tasks, UTC" in text_of(browser_of("view_task").get(HOUR_OF_NOON))


def test_the_tasks_of_the_current_second_are_listed(now):
    now.moment = NOON + 10 * MINUTE + MINUTE / 120
    address = HOUR_OF_NOON.replace("12:00:00", "12:10:00").replace("60", "0")
    assert "early 12:10:00" in text_of(browser_of("view_task").get(address))


def test_a_listed_task_that_has_been_due_since_can_be_spread(now, early):
    now.moment = NOON + 5 * MINUTE
    browser = browser_of_superuser()
    page = browser.get(HOUR_OF_NOON).content.decode()
    listed_at = re.search(r'name="listed_at" value="(.*?)"', page)[1]
    now.moment = NOON + 20 * MINUTE
    browser.post(HOUR_OF_NOON, {"pk": early.pk, "listed_at": listed_at})
    assert stored(early).schedule == "h 12 * * *"
