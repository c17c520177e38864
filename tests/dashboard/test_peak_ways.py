"""The page of a busy time says what each way to spread the tasks does."""

import re

import pytest
from django.core.cache import cache

from tests.admin.pages import text_of
from tests.admin.people import browser_of_superuser
from tests.dashboard.pressing import press
from tests.support.moments import NOON
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.database, pytest.mark.django_db]

AT = "/sisy/load/peak/?at=2026-05-06T00:00:00%2B00:00"


@pytest.fixture(autouse=True)
def noon(at_time):
    cache.clear()
    return at_time(NOON)


@pytest.fixture
def pile():
    """Thirty tasks that are due at midnight."""
    return [scheduled("0 0 * * *", label=f"invoice {n}") for n in range(30)]


def test_the_minute_of_each_task_is_shown_before_it_is_saved(pile):
    client = browser_of_superuser()
    text = text_of(client.get(AT))
    minutes = dict(re.findall(r"(invoice \d+) 2026\S+ 00:00:00 - .*? h 0 \* \* \* At (\S+)", text))
    press(client, AT, {"pk": [task.pk for task in pile]})
    assert len(minutes) == 30
    for task in map(stored, pile):
        assert f"{task.next_run:%H:%M}" == minutes[task.label]
    assert len(set(minutes.values())) < 30
    assert "several tasks can get the same minute" in text


def test_without_a_way_the_page_offers_the_first_that_changes_a_task(pile):
    for task in pile:
        task.schedule = "h 0 * * *"
        task.save()
    client, address = browser_of_superuser(), f"{AT}&minutes=60"
    page = client.get(address)
    assert "Nothing to change" not in text_of(page)
    assert 'way=15" aria-current="true"' in page.content.decode()
    assert "Nothing to change" in text_of(client.get(f"{address}&way=h"))
