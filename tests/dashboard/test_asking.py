"""What an address asks for and its page does not know is named in an error on the page."""

import re
from html import unescape

import pytest
from django.contrib import messages

from sisy.dashboard.pages import PAGES
from sisy.dashboard.pages.page import Page
from sisy.models import TaskChange
from sisy.reports.filters import MAX_LENGTH
from tests.admin.people import browser_of_superuser
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

MOUNTS = ("/sisy/", "/admin/sisy/task/dashboard/")
SHOWING = {
    name: (route, page)
    for name, (route, page) in PAGES.items()
    # The page of what matches has the filters of the list, of which it needs one.
    if issubclass(page, Page) and name != "act_on_matching"
}
UNKNOWN = ["nonsense", "²", "-1", "9" * 600]
KNOWN = {
    ("overview", "hours"): ("1", "24"),
    ("overview", "at"): ("2026-05-05T12:00:00+00:00", "2026-05-05T12:00:00 02:00"),
    ("overview", "by"): ("queue", "target"),
    ("overview", "after"): ("0", "7"),
    ("alerts", "state"): ("open", "closed"),
    ("alerts", "kind"): ("failing", "no_worker"),
    ("alerts", "task"): ("7",),
    ("alerts", "before"): ("7",),
    ("tasks", "search"): ("price", "²"),
    ("tasks", "state"): ("active", "paused", "attention"),
    ("tasks", "queue"): ("default", "nowhere"),
    ("tasks", "target"): ("a.b", "x" * MAX_LENGTH),
    ("tasks", "sort"): ("label", "next_run", "last_run"),
    ("tasks", "group"): ("app", "queue", "prefix"),
    ("tasks", "only"): ("default", "x" * MAX_LENGTH),
    ("tasks", "after"): ("sweep|7", "|7"),
    ("task", "before"): ("7",),
    ("backfill", "start"): ("2026-05-03",),
    ("backfill", "end"): ("2026-05-04",),
    ("backfill", "again"): ("on", "0"),
    ("missed", "start"): ("2026-05-03",),
    ("missed", "end"): ("2026-05-04",),
    ("load", "start"): ("2026-05-03", "2026-05-03T23:00", "2026-05-03T23:00:30"),
    ("load", "end"): ("2026-05-04", "2026-05-09T02:00"),
    ("reschedule", "schedule"): ("0 9 * * *",),
    ("reschedule", "timezone"): ("Europe/Berlin",),
    ("runs", "state"): ("failed", "running", "unsuccessful"),
    ("runs", "origin"): ("retry", "schedule"),
    ("runs", "queue"): ("default", "nowhere"),
    ("runs", "search"): ("price",),
    ("runs", "since"): ("90m", "7d", "2026-05-05T12:00"),
    ("runs", "until"): ("2026-05-05T12:00", "2026-05-05T12:00:00+02:00"),
    ("runs", "start"): ("2026-05-05T12:00", "2026-05-05T12:00:00+02:00"),
    ("runs", "task"): ("7",),
    ("runs", "function"): ("jobs.noop",),
    ("runs", "worker"): ("web-1", "7@web-1"),
    ("runs", "text"): ("KeyError",),
    ("runs", "sort"): ("newest", "duration", "delay"),
    ("runs", "before"): ("7",),
    ("runs", "looked"): ("500",),
    ("peak", "at"): ("2026-05-06T00:00:00+00:00", "2026-05-06T00:00:00 02:00"),
    ("peak", "minutes"): ("0", "15", "60"),
    ("peak", "way"): ("h", "15", "60"),
    ("editor", "schedule"): ("* * * * *",),
    ("editor", "timezone"): ("Europe/Berlin",),
    ("editor", "label"): ("sweep",),
}
"""Each parameter of each page, with values that it knows."""

ANY_TEXT = {"search", "queue", "target", "label", "function", "worker", "text", "only"}
ASKED = [(page, name) for page, (_, cls) in SHOWING.items() for name in cls.asks]


@pytest.fixture
def site():
    task = scheduled("0 0 1 1 *", label="sweep")
    task.queue = "slow"
    task.save()
    return {"task": task.pk, "run": task.run_now().pk}


def address_of(site, page, mount="/sisy/"):
    key = site["run" if page == "run" else "task"]
    path = re.sub("<int:pk>", str(key), SHOWING[page][0])
    change = TaskChange.objects.values_list("pk", flat=True).get()
    return mount + path.replace("<int:change>", str(change))


def errors_of(answer):
    """Return the errors on a page, wherever they stand on it."""
    page = answer.content.decode()
    shown = re.findall(
        r'<(?:li|p|span)[^>]*class="(?:error|sisy-refusal)"[^>]*>(?:<span[^>]*>)?(.*?)<', page
    )
    return [unescape(words) for words in shown]


def test_each_parameter_of_each_page_is_tried_here():
    assert set(KNOWN) == set(ASKED)
    assert {page for page, _ in ASKED} | {"run", "fleet", "revert"} == set(SHOWING)


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize(("page", "name"), ASKED)
def test_an_unknown_value_is_an_error_on_the_page(site, page, name, mount):
    browser = browser_of_superuser()
    for value in UNKNOWN:
        if name in ANY_TEXT and len(value) <= MAX_LENGTH:
            continue
        beside = {"end": "2026-05-04"} if name == "again" else {}
        answer = browser.get(address_of(site, page, mount), {name: value, **beside})
        assert answer.status_code == 200
        assert errors_of(answer), (page, name, value)


@pytest.mark.parametrize(("page", "name"), ASKED)
def test_a_known_value_is_not_an_error(site, page, name):
    browser = browser_of_superuser()
    has_range = page in ("backfill", "missed", "load")
    beside = {"start": "2026-05-03", "end": "2026-05-04"} if has_range else {}
    for value in (*KNOWN[page, name], ""):
        if not value and (has_range or name == "schedule"):
            continue  # these must be given
        answer = browser.get(address_of(site, page), {**beside, name: value})
        assert errors_of(answer) == [], (page, name, value)


@pytest.mark.parametrize("page", SHOWING)
def test_an_unknown_parameter_is_an_error_on_the_page(site, page):
    answer = browser_of_superuser().get(address_of(site, page), {"stat": "failed"})
    [error, *others] = errors_of(answer)
    assert error.startswith("Unknown URL parameter 'stat'.")
    assert others == []
    if page in ("tasks", "runs"):
        assert error.endswith("Did you mean 'state'?")


def test_the_error_names_the_given_and_the_valid_values(site):
    answer = browser_of_superuser().get("/sisy/tasks/", {"state": "pausd", "sort": "<b>"})
    assert errors_of(answer) == [
        "'pausd' is not a valid value for the URL parameter 'state'. "
        "Valid values: active, paused, broken, retired, attention. Did you mean 'paused'?",
        "'<b>' is not a valid value for the URL parameter 'sort'. "
        "Valid values: label, next_run, last_run.",
    ]


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("/sisy/tasks/", {"state": "nonsense"}),
        ("/sisy/tasks/", {"search": "x" * 600}),
        ("/sisy/tasks/", {"queue": "nowhere"}),
        ("/sisy/tasks/", {"target": "nothing"}),
        ("/sisy/runs/", {"state": "nonsense"}),
        ("/sisy/runs/", {"origin": "nonsense"}),
        ("/sisy/runs/", {"queue": "nowhere"}),
    ],
)
def test_a_filter_by_an_unknown_value_lists_nothing(site, address, asked):
    browser = browser_of_superuser()
    row = r'name="pk" value="\d+"|id="run-\d+"'
    assert re.search(row, browser.get(address).content.decode())
    assert not re.search(row, browser.get(address, asked).content.decode())


@pytest.mark.parametrize("asked", [{}, {"end": "2026-05-04"}, {"again": "on"}])
def test_half_a_range_is_rejected_and_runs_nothing(site, asked):
    browser, address = browser_of_superuser(), f"/sisy/tasks/{site['task']}/backfill/"
    words = "This field is required."
    assert (words in browser.get(address, asked).content.decode()) == bool(asked)
    answer = browser.post(address, asked)
    assert answer.status_code == 200
    assert words in answer.content.decode()


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("task", {"p": "nonsense"}),
        ("task", {"o": "nonsense"}),
        ("run", {"planned_at__gte": "nonsense"}),
        ("run", {"p": "-1"}),
        ("run", {"o": "1.x"}),
    ],
)
def test_an_admin_list_reports_that_it_ignores_a_filter(site, model, asked):
    answer = browser_of_superuser().get(f"/admin/sisy/{model}/", asked, follow=True)
    levels = [one.level for one in answer.context["messages"] if "which was ignored" in str(one)]
    assert levels == [messages.ERROR]


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("task", {"state__exact": "nonsense"}),
        ("task", {"queue": "nowhere"}),
        ("task", {"overlap__exact": "nonsense"}),
        ("run", {"state__exact": "nonsense"}),
        ("run", {"origin__exact": "nonsense"}),
        ("run", {"queue": "nowhere"}),
    ],
)
def test_an_admin_list_finds_nothing_by_an_unknown_value(site, model, asked):
    answer = browser_of_superuser().get(f"/admin/sisy/{model}/", asked, follow=True)
    ignored = [one for one in answer.context["messages"] if "which was ignored" in str(one)]
    assert ignored or answer.context["cl"].result_count == 0


def test_the_links_of_a_page_use_known_parameters(site, monkeypatch):
    monkeypatch.setattr("sisy.reports.tasks.PAGE_LIMIT", 1)
    monkeypatch.setattr("sisy.reports.ledger.PAGE_LIMIT", 1)
    for module in ("sisy.dashboard.pages.overview", "sisy.reports.grid"):
        monkeypatch.setattr(f"{module}.MAX_ROWS", 1)
    for number in range(2):
        task = scheduled("0 0 1 1 *", label=f"task | {number}", queue="slow")
        task.run_now()
        type(task).objects.filter(pk=task.pk).update(last_run=NOON - number * MINUTE)
    site["task"] = task.pk
    browser, followed = browser_of_superuser(), set()
    for page in SHOWING:
        where = address_of(site, page)
        for begin in ("", "?sort=next_run", "?sort=last_run") if page == "tasks" else ("",):
            found = browser.get(where + begin).content.decode()
            followed |= {where + unescape(link) for link in re.findall(r'href="(\?\w.*?)"', found)}
    assert len(followed) > 20
    for address in followed:
        assert errors_of(browser.get(address)) == [], address
