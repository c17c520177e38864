"""No address of Sisy's answers with a server error, whatever it is asked.

Every field of every page and form is given every class of hostile value once. Fields that are
read independently of each other are hostile together, each with a value of another class; where a
wrong field keeps others from being read, the others are as they should be.
"""

import re

import pytest
from django.db import connection

from sisy.dashboard.pages import PAGES
from sisy.dashboard.pages.runs import RunsPage
from sisy.lifecycle.miss import missed_row
from sisy.models import Queue, Run
from tests.admin.people import browser_of_superuser
from tests.dashboard.addresses import addresses, is_server_error
from tests.support.hostile import HOSTILE
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

# Databases differ in the values that they take, and each of these tests tries each value where it
# is read. The other tests try each page with some values, or what no database sees, as headers.
each_value = pytest.mark.database

PARSED = ["|²", "1e400", "* " * 3000, "../../etc/passwd", "[" * 5000, "http://["]
"""To a database, these are words like any other."""

VALUES = [
    "\0",
    "²",
    "-1",
    "9" * 30,
    "9" * 60_000,
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00+14:00|1",
    "9999-12-31T23:59:59",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59.999999-14:00|1",
    "\ud7ff\ue000\U0010ffff",
    '{"a": "\\u0000"}',
    '{"a": "\\ud800"}',
    "/sisy/\r\nSet-Cookie: a={% load %}{{ x }}%s %(x)s {0}",
    HOSTILE,
    *(PARSED if connection.vendor == "sqlite" else []),
]
"""One of each class."""

LISTED = ["q", "o", "p", "e", "all", "_popup"]
FILTERS = {
    "task": ["_to_field", "queue", "state__exact", "overlap__exact"],
    "run": ["_to_field", "queue", "state__exact", "origin__exact", "planned_at__gte"],
    "queue": ["_to_field"],
}
"""What the lists of the admin can be asked for."""

RANGE = {"start": "2026-05-04", "end": "2026-05-04T11:59", "again": "on"}
MISSED = {"start": "2026-05-04", "end": "2026-05-05T11:59"}
EDITED = {"schedule": "* * * * *", "timezone": "UTC", "label": "sweep"}
WINDOW = {
    f"{edge}_running_{part}": right
    for edge in ("start", "end")
    for part, right in enumerate(("2026-05-06", "12:00:00"))
}
PLACE = {"sort": "next_run", "after": ""}
RIGHT = {
    "/sisy/schedule/": EDITED,
    "/sisy/tasks/{task}/backfill/": RANGE,
    "/sisy/tasks/missed/": MISSED,
    "/sisy/load/": {"start": "2026-05-05T23:00", "end": "2026-05-06T02:00"},
    "/sisy/tasks/{task}/schedule/": {"schedule": "* * * * *", "timezone": "UTC"},
    "/admin/sisy/task/occurrences/": {**EDITED, **WINDOW, "task": "1", "iterations": "3"},
    "/sisy/load/peak/": {"at": "2026-05-06T00:00:00+00:00", "minutes": "60", "way": "15"},
    "/sisy/tasks/": {**dict.fromkeys(("search", "state", "queue", "target"), ""), **PLACE},
    "/sisy/runs/": dict.fromkeys((*RunsPage.asks,), ""),
    "/sisy/runs/matching/retry/": {**dict.fromkeys(RunsPage.asks, ""), "state": "failed"},
    "/sisy/runs/export.csv": dict.fromkeys(RunsPage.asks, ""),
}
"""Pages on which one wrong value keeps others from being read, with right ones."""

TOGETHER = ("overview", "task", "alerts")
"""Pages on which each value is read by itself."""

FORMS = {
    "/sisy/load/peak/?minutes=60": {"pk": "{task}", "listed_at": "2026-05-05T12:00:00+00:00"},
    "/sisy/runs/matching/cancel/?search=sweep": {"next": "/sisy/"},
    "/sisy/tasks/{task}/schedule/": {"schedule": "* * * * *", "timezone": "UTC"},
    "/sisy/tasks/{task}/backfill/": RANGE,
    "/sisy/tasks/missed/?start=2026-05-04&end=2026-05-05T11:59": {"pk": "{task}"},
    "/sisy/tasks/do/pause/": {"pk": "{task}", "reason": "lunch", "hours": "8", "next": "/sisy/"},
    "/sisy/runs/do/retry/": {"pk": "{run}", "next": "/sisy/"},
    "/sisy/queues/do/pause/": {"name": "known", "reason": "lunch", "next": "/sisy/"},
    "/admin/sisy/task/": {"action": "pause", "_selected_action": "{task}", "index": "0"},
    "/admin/sisy/run/": {"action": "cancel", "_selected_action": "{run}", "index": "0"},
}
NAMES = sorted({name for right in FORMS.values() for name in right} | {"post", "confirm"})
VERBS = ("pause", "resume", "cancel", "retry", "drain", "run", "run_now", "nonsense")
TIMES_POSTED = 2


@pytest.fixture
def site():
    task = scheduled("*/5 * * * *", label="sweep", queue="known")
    for number in range(3):
        run = task.run_now()
        Run.objects.filter(pk=run.pk).update(due_at=NOON - (number + 1) * MINUTE, state="failed")
    missed_row(task, NOON - HOUR, NOON - MINUTE, 12, "Nothing was up.", NOON).save()
    worker()
    Queue.objects.pause("known")
    return {"task": task.pk, "run": run.pk, "queue": Queue.objects.get().pk}


@pytest.fixture
def browser():
    found = browser_of_superuser()
    found.raise_request_exception = False
    return found


def with_verbs(site):
    """Return every address, with each verb of its buttons."""
    found = set()
    for verb in VERBS:
        found |= set(addresses(**site, verb=verb, name=verb))
    return sorted(found)


def pages_of(site):
    return [one for one in addresses(**site, verb="pause", name="pause") if "/do/" not in one]


def rotated(names, turn):
    """Return a value for each name, all of different classes; another one on each turn."""
    names = list(names)
    return {name: VALUES[(turn + 5 * place) % len(VALUES)] for place, name in enumerate(names)}


def survives(ask, address, data):
    answer = ask(address, data)
    shown = {name: value[:40] for name, value in data.items()}
    assert not is_server_error(answer), (address, shown)


def test_every_page_with_parameters_is_tested_here():
    there = {route for route, page in PAGES.values() if getattr(page, "asks", None)}
    alone = {one.removeprefix("/sisy/").replace("{task}", "<int:pk>") for one in RIGHT}
    alone = {one.replace("matching/retry", "matching/<str:verb>") for one in alone}
    assert there - alone == {PAGES[name][0] for name in TOGETHER}


def test_every_parameter_is_tried_with_every_value():
    assert len(VALUES) % 5
    names = [f"name {number}" for number in range(40)]
    for name in names:
        assert {rotated(names, turn)[name] for turn in range(len(VALUES))} == set(VALUES)


@each_value
@pytest.mark.parametrize("name", TOGETHER)
def test_no_query_of_a_page_is_answered_by_a_server_error(site, browser, name):
    route, page = PAGES[name]
    address = "/sisy/" + re.sub("<int:pk>", str(site["task"]), route)
    for turn in range(len(VALUES)):
        survives(browser.get, address, rotated([*page.asks, "nonsense"], turn))


def test_no_query_is_answered_by_a_server_error(site, browser):
    for turn, address in enumerate(pages_of(site)):
        survives(browser.get, address, rotated(["parts", *LISTED[:2], *EDITED, *RANGE], turn))
        survives(browser.get, address, {"parts": VALUES[turn % len(VALUES)]})


@each_value
@pytest.mark.parametrize("address", RIGHT)
def test_no_value_among_right_ones_is_answered_by_a_server_error(site, browser, address):
    right = RIGHT[address]
    for name in right:
        for value in VALUES:
            survives(browser.get, address.format(**site), {**right, name: value})


@each_value
@pytest.mark.parametrize("model", FILTERS)
def test_no_query_of_a_list_of_the_admin_is_answered_by_a_server_error(site, browser, model):
    address = f"/admin/sisy/{model}/"
    for turn, value in enumerate(VALUES):
        survives(browser.get, address, rotated(LISTED, turn))
        for name in FILTERS[model]:
            survives(browser.get, address, {name: value})


def test_no_form_is_answered_by_a_server_error(site, browser):
    turn = 0
    for address in with_verbs(site):
        for _ in range(TIMES_POSTED):
            survives(browser.post, address, rotated(NAMES, turn := turn + 1))


@each_value
@pytest.mark.parametrize("address", FORMS)
def test_no_field_of_a_form_is_answered_by_a_server_error(site, browser, address):
    """With all others as they should be, so that it is looked at at all."""
    right = {name: text.format(**site) for name, text in FORMS[address].items()}
    for name in right:
        for value in VALUES:
            survives(browser.post, address.format(**site), {**right, name: value})


@each_value
def test_no_field_of_a_task_is_answered_by_a_server_error(site, browser):
    """Half of its fields at a time, so that the others are looked at together."""
    address = f"/admin/sisy/task/{site['task']}/change/"
    page = browser.get(address).content.decode()
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page))
    names = set(re.findall(r'<(?:input|select|textarea)[^>]*name="([^"]+)"', page))
    fields |= {**EDITED, "_extra_data": "{}"}
    names = sorted(names | set(fields))
    assert {"target_path", "missed", "max_attempts", "spread", "end_running_1"} <= set(names)
    for turn in range(len(VALUES)):
        survives(browser.post, address, {**fields, **rotated(names[::2], turn)})
        survives(browser.post, "/admin/sisy/task/add/", {**fields, **rotated(names[1::2], turn)})


@each_value
@pytest.mark.parametrize(
    "address",
    [
        "/sisy/runs/{}/",
        "/sisy/tasks/{}/",
        "/sisy/tasks/{}/backfill/",
        "/sisy/tasks/{}/schedule/",
        "/sisy/tasks/1/changes/{}/revert/",
        "/sisy/tasks/do/{}/",
        "/sisy/queues/do/{}/",
        "/admin/sisy/task/{}/change/",
        "/admin/sisy/run/{}/change/",
        "/admin/sisy/queue/{}/change/",
        "/admin/sisy/task/{}/delete/",
        "/admin/sisy/task/{}/history/",
    ],
)
def test_no_part_of_a_path_is_answered_by_a_server_error(site, browser, address):
    for value in ("%00", "%C2%B2", "9" * 30, "9" * 5000, "-1", "%FF", "a%0Ab", "_", "_00", "1_00"):
        for ask in (browser.get, browser.post):
            assert ask(address.format(value)).status_code < 500, value


def test_no_header_is_answered_by_a_server_error(site, browser):
    names, values = (
        ("If-None-Match", "Accept-Language", "Referer", "Cookie2"),
        ("\xff", "²", '"' * 9000, "*"),
    )
    for turn, address in enumerate(pages_of(site)):
        headers = {name: values[(turn + place) % 4] for place, name in enumerate(names)}
        for parts in ({}, {"parts": "list"}):
            assert not is_server_error(browser.get(address, parts, headers=headers)), address


def test_a_search_ignores_nul_characters(site, browser):
    page = browser.get("/sisy/tasks/", {"search": "sw\0eep"}).content.decode()
    assert 'value="sweep"' in page
    assert "/sisy/tasks/" in page
    answer = browser.post("/sisy/tasks/do/pause/", {"pk": f"{site['task']}\0", "reason": "a\0b"})
    assert answer.status_code == 302
