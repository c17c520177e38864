"""The frame around all pages: breadcrumbs, the search, the zone and the theme."""

import re

import pytest

from sisy.models import RunState
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.hostile import STORABLE
from tests.support.moments import NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PREFERENCES = "/sisy/preferences/"


@pytest.fixture
def browser():
    return browser_of_superuser()


@pytest.fixture
def run():
    task = scheduled("0 3 * * *", label="sweep", timezone="Asia/Tokyo")
    run = task.new_run(now=NOON, state=RunState.SUCCEEDED, started_at=NOON, finished_at=NOON)
    run.save()
    return run


def trail_of(browser, path):
    page = browser.get(path).content.decode()
    trail = re.search(r'class="sisy-trail".*?</nav>', page, re.DOTALL)
    return re.findall(r'href="(.*?)">(.*?)</a>', trail[0]) if trail else []


def test_breadcrumbs_lead_from_a_run_to_its_task_and_the_list(browser, run):
    up = [("/sisy/tasks/", "Tasks")]
    task = (f"/sisy/tasks/{run.task_id}/", "sweep")
    assert trail_of(browser, "/sisy/") == []
    assert trail_of(browser, task[0]) == up
    assert trail_of(browser, f"/sisy/runs/{run.pk}/") == [*up, task]
    assert trail_of(browser, f"{task[0]}backfill/") == [*up, task]


def test_the_run_of_a_deleted_task_leads_to_the_list_of_runs(browser, run):
    run.task.delete()
    assert trail_of(browser, f"/sisy/runs/{run.pk}/") == [("/sisy/runs/", "Runs")]


@pytest.mark.parametrize("text", ["{}", "#{}", " #{} "])
def test_a_number_finds_the_run(browser, run, text):
    found = browser.get("/sisy/find/", {"q": text.format(run.pk)})
    assert found["Location"] == f"/sisy/runs/{run.pk}/"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sweep", "/sisy/tasks/?search=sweep"),
        ("777", "/sisy/tasks/?search=777"),
        ("#777", "/sisy/runs/777/"),  # whose page says that it does not exist
        ("a&b", "/sisy/tasks/?search=a%26b"),
        ("", "/sisy/tasks/"),
    ],
)
def test_other_texts_find_tasks(browser, run, text, path):
    assert browser.get("/sisy/find/", {"q": text})["Location"] == path


@pytest.mark.parametrize(
    ("zone", "shown", "elsewhere"),
    [
        ("utc", "12:00:00", "12:00:00"),
        ("mine", "14:00:00", "14:00:00"),
        ("task", "21:00:00", "12:00:00"),
        ("site", "12:00:00", "12:00:00"),
    ],
)
def test_pages_are_in_the_zone_that_the_reader_chose(browser, run, zone, shown, elsewhere):
    answer = browser.post(PREFERENCES, {"zone": zone, "mine": "Europe/Berlin", "next": "/sisy/"})
    assert answer["Location"] == "/sisy/"
    assert f"started 2026-05-05 {shown}" in text_of(browser.get(f"/sisy/runs/{run.pk}/"))
    assert f"started 2026-05-05 {shown}" in text_of(
        browser.get(f"/sisy/runs/{run.pk}/?parts=steps")
    )
    assert elsewhere in text_of(browser.get("/sisy/?parts=latest"))


def test_a_backfill_is_read_in_the_zone_of_the_site(browser, run):
    browser.post(PREFERENCES, {"zone": "task"})
    page = browser.get(f"/sisy/tasks/{run.task_id}/backfill/").content.decode()
    assert menu_of(page) == "Settings UTC"


def menu_of(page):
    """Return the name of the menu with the zone and the theme."""
    [summary] = re.findall(r'<summary title="Settings: .*?</summary>', page)
    return " ".join(re.sub(r"<[^>]*>", " ", summary).split())


def test_the_menu_says_that_it_has_settings_and_shows_the_zone(browser):
    browser.post(PREFERENCES, {"zone": "mine", "mine": "Asia/Tokyo"})
    assert menu_of(browser.get("/sisy/").content.decode()) == "Settings Asia/Tokyo"


@pytest.mark.parametrize("name", ["", "Europe", "../../etc/passwd", "x" * 4000, STORABLE])
def test_an_unknown_zone_of_the_browser_is_ignored(browser, run, name):
    browser.post(PREFERENCES, {"zone": "mine", "mine": name})
    assert "started 2026-05-05 12:00:00" in text_of(browser.get(f"/sisy/runs/{run.pk}/"))
    browser.cookies["sisy_my_zone"] = name[:100].encode("ascii", "replace").decode()
    assert browser.get("/sisy/").status_code == 200


def test_the_theme_is_that_of_the_page(browser):
    assert "data-theme" not in browser.get("/sisy/").content.decode()
    browser.post(PREFERENCES, {"theme": "dark"})
    assert 'data-theme="dark"' in browser.get("/sisy/").content.decode()
    browser.post(PREFERENCES, {"theme": "pink"})
    assert 'data-theme="dark"' in browser.get("/sisy/").content.decode()
    browser.post(PREFERENCES, {"theme": "system"})
    assert "data-theme" not in browser.get("/sisy/").content.decode()


def test_the_admin_has_a_theme_of_its_own(browser):
    assert 'name="theme"' in browser.get("/sisy/").content.decode()
    assert 'name="theme"' not in browser.get("/admin/sisy/task/dashboard/").content.decode()


@pytest.mark.parametrize("path", [PREFERENCES, "/sisy/find/"])
def test_the_frame_serves_only_those_who_may_see_the_pages(path):
    browser = browser_of("view_run")
    assert browser.get(path).status_code == 403
    assert browser_of_superuser().get(PREFERENCES).status_code == 405


def test_preferences_never_lead_to_another_site(browser):
    answer = browser.post(PREFERENCES, {"zone": "utc", "next": "https://evil.example/"})
    assert answer["Location"] == "/sisy/"
