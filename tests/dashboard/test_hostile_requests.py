"""No address of Sisy's answers with a server error, whatever it is asked."""

import re

import pytest

from sisy.models import Queue, Run
from tests.admin.people import browser_of_superuser
from tests.dashboard.addresses import addresses
from tests.support.hostile import HOSTILE
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

NAMES = [
    *("after", "at", "before", "by", "days", "end", "hours", "label", "name", "next", "origin"),
    *("overlap", "parts", "pk", "q", "queue", "reason", "schedule", "search", "sort", "start"),
    *("state", "target", "timezone", "again", "health", "o", "p", "e", "all", "action", "index"),
    *("_popup", "_to_field", "state__exact", "origin__exact", "queue__isnull", "confirm", "post"),
    *("planned_at__gte", "planned_at__lt", "task__id__exact", "start_running", "end_running"),
    *("start_running_0", "start_running_1", "end_running_0", "end_running_1", "target_path"),
    *("target_pk", "_extra_data", "iterations", "missed", "missed_window", "max_attempts"),
    *("retry_delay", "retry_backoff", "retry_max_delay", "on_lost", "timeout", "spread"),
    *("history_runs", "priority", "engine", "wait_for_schedule"),
    *("_selected_action", "select_across"),
]
BESIDE = {name for name in NAMES if "__" in name} | {"action", "index", "_popup", "_to_field"}
TOGETHER = [name for name in NAMES if name not in BESIDE]
LISTED = ("q", "o", "p", "e", "all", "_popup", "_to_field", "queue", "state", "state__exact")
OF_RUNS = ("origin", "planned_at__gte", "planned_at__lt", "task__id__exact", "queue__isnull")
WINDOW = ("start_running_0", "start_running_1", "end_running_0", "end_running_1")
ASKED = {
    "/sisy/": ("parts", "hours", "at", "by"),
    "/sisy/tasks/": ("after", "search", "state", "queue", "target", "sort"),
    "/sisy/runs/": ("before", "search", "state", "queue", "origin"),
    "/sisy/tasks/{task}/": ("before", "parts"),
    "/sisy/tasks/{task}/backfill/": ("start", "end"),
    "/sisy/schedule/": ("schedule", "timezone", "label"),
    "/admin/sisy/task/": (*LISTED, "health", "overlap"),
    "/admin/sisy/run/": (*LISTED, *OF_RUNS),
    "/admin/sisy/task/occurrences/": ("label", "schedule", "timezone", *WINDOW),
    "/admin/sisy/task/{task}/backfill/": ("start", "end"),
}
"""What each page asks its address for; the rest of them is asked for all names together."""

VALUES = [
    "\0",
    "|²",
    "²",
    "-1",
    "1e400",
    "9" * 30,
    "9" * 5000,
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00|1",
    "9999-12-31T23:59:59.999999-14:00|1",
    "0001-01-01",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59",
    "0 0 29 2 *",
    "* " * 3000,
    "../../etc/passwd",
    "posix/Europe/Berlin",
    "{% load %}{{ x }}%s %(x)s {0}",
    "\ud7ff\ue000\U0010ffff",
    "[" * 5000,
    '{"a": "\\u0000"}',
    '{"a": "\\ud800"}',
    "http://[",
    "/sisy/\r\nSet-Cookie: a=b",
    HOSTILE,
]


@pytest.fixture
def site():
    task = scheduled("*/5 * * * *", label="sweep", queue="known")
    for number in range(3):
        run = task.run_now()
        Run.objects.filter(pk=run.pk).update(due_at=NOON - (number + 1) * MINUTE, state="failed")
    worker()
    Queue.objects.pause("known")
    return {"task": task.pk, "run": run.pk, "queue": Queue.objects.get().pk}


@pytest.fixture
def browser():
    found = browser_of_superuser()
    found.raise_request_exception = False
    return found


def all_addresses(site):
    """Return every address, with each verb of its buttons."""
    found = set()
    for verb in ("pause", "resume", "cancel", "retry", "drain", "run", "run_now", "nonsense"):
        found |= set(addresses(**site, verb=verb, name=verb))
    return sorted(found)


def page_addresses(site):
    return [one for one in addresses(**site, verb="pause", name="pause") if "/do/" not in one]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_no_query_is_answered_by_a_server_error(site, browser, value):
    for address in page_addresses(site):
        assert browser.get(address, dict.fromkeys(TOGETHER, value)).status_code < 500, address
    right = {"schedule": "* * * * *", "timezone": "UTC", "start": "2026-05-05", "sort": "label"}
    for address, names in ASKED.items():
        for name in names:
            answer = browser.get(address.format(**site), {**right, name: value})
            assert answer.status_code < 500, (address, name)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_no_field_of_a_form_is_answered_by_a_server_error(site, browser, value):
    """With all others as they should be, so that it is looked at at all."""
    task = f"/admin/sisy/task/{site['task']}/change/"
    page = browser.get(task).content.decode()
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page))
    fields |= {"schedule": "* * * * *", "timezone": "UTC", "label": "sweep", "_extra_data": "{}"}
    forms = {
        task: fields,
        f"/sisy/tasks/{site['task']}/backfill/": {
            "start": "2026-05-05",
            "end": "2026-05-05T11:59",
        },
        "/sisy/tasks/do/pause/": {"pk": site["task"], "reason": "lunch", "next": "/sisy/"},
        "/sisy/queues/do/pause/": {"name": "known", "reason": "lunch", "next": "/sisy/"},
        "/admin/sisy/task/": {"action": "pause", "_selected_action": site["task"], "index": "0"},
    }
    for address, right in forms.items():
        for name in right:
            answer = browser.post(address, {**right, name: value})
            assert answer.status_code < 500, (address, name)


@pytest.mark.parametrize(
    "address",
    [
        "/sisy/runs/{}/",
        "/sisy/tasks/{}/",
        "/sisy/tasks/{}/backfill/",
        "/sisy/tasks/do/{}/",
        "/sisy/queues/do/{}/",
        "/admin/sisy/task/{}/change/",
        "/admin/sisy/run/{}/change/",
        "/admin/sisy/queue/{}/change/",
        "/admin/sisy/task/{}/delete/",
        "/admin/sisy/task/{}/history/",
        "/admin/sisy/task/1/do/{}/",
        "/admin/sisy/queue/do/{}/",
    ],
)
def test_no_part_of_a_path_is_answered_by_a_server_error(site, browser, address):
    for value in ("%00", "%C2%B2", "9" * 30, "9" * 5000, "-1", "%FF", "a%0Ab", "_", "_00", "1_00"):
        for ask in (browser.get, browser.post):
            assert ask(address.format(value)).status_code < 500, value


def test_text_without_nul_is_what_is_looked_for(site, browser):
    page = browser.get("/sisy/tasks/", {"search": "sw\0eep"}).content.decode()
    assert 'value="sweep"' in page
    assert "/sisy/tasks/" in page
    answer = browser.post("/sisy/tasks/do/pause/", {"pk": f"{site['task']}\0", "reason": "a\0b"})
    assert answer.status_code == 302
