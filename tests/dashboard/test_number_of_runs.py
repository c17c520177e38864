"""The list of runs says how many match, without counting all of a long ledger."""

import re

import pytest

from sisy.dashboard.pages import runs as page
from sisy.reports import walk
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture(autouse=True)
def _many_runs():
    task = scheduled("0 0 1 1 *", overlap="allow", queue="mail")
    for _ in range(150):
        task.run_now()


def number_on(asked):
    text = text_of(browser_of("view_task").get(f"/sisy/runs/?parts=list&{asked}"))
    found = re.search(r"(At least )?[\d,]+ runs?\b", text)
    return found[0] if found else ""


@pytest.mark.parametrize("asked", ["queue=mail", "state=queued", "since=1h", "until=2030-01-01"])
def test_a_filtered_list_says_how_many_runs_match(asked):
    assert number_on(asked) == "150 runs"


def test_a_list_of_one_page_says_so_too():
    scheduled("0 0 1 1 *", queue="slow").run_now()
    assert number_on("queue=slow") == "1 run"


def test_many_runs_are_counted_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(walk, "BATCH", 10)
    monkeypatch.setattr(page, "MAX_COUNTED", 70)
    assert number_on("queue=mail") == "At least 70 runs"


def test_counting_stops_where_a_search_does(monkeypatch):
    monkeypatch.setattr(walk, "BATCH", 10)
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 60)
    assert number_on("queue=mail") == "At least 110 runs"


@pytest.mark.parametrize("asked", ["", "queue=mail&sort=duration", "queue=mail&before=1000000"])
def test_unfiltered_sorted_and_older_lists_are_not_counted(asked):
    assert number_on(asked) == ""
