"""Pages that show runs of deleted tasks link to no page that does not exist."""

import re

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import Run, RunState, Task
from tests.admin.pages import RUNS, TASKS, page_of, text_of
from tests.admin.people import browser_of_superuser
from tests.support.moments import NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ALONE, IN_ADMIN = "/sisy/", "/admin/sisy/task/dashboard/"
OF_A_TASK = re.compile(r'href="([^"]*/(?:tasks?|task/dashboard/tasks)/\d+/[^"]*)"')


def ended(task, state=RunState.SUCCEEDED, **columns):
    run = task.new_run(now=NOON, state=state, started_at=NOON, finished_at=NOON, **columns)
    run.save()
    return run


@pytest.fixture(autouse=True)
def nothing_cached():
    """Forget the tasks of other tests, to which the page of upcoming runs would lead."""
    cache.clear()


@pytest.fixture
def orphans():
    """Runs of a deleted task, at least one in each state."""
    task = scheduled("@yearly", label="gone")
    key = task.pk
    task.delete()
    task.pk = key
    return [ended(task, state) for state in RunState.values]


@pytest.fixture
def kept():
    """A failed run of a task that exists."""
    return ended(scheduled("@yearly", label="kept"), RunState.FAILED)


@pytest.mark.parametrize("root", [ALONE, IN_ADMIN])
def test_every_link_to_a_task_leads_to_a_page(root, orphans, kept):
    browser = browser_of_superuser()
    pages = ["", "runs/", "tasks/", "load/", *[f"runs/{run.pk}/" for run in (*orphans, kept)]]
    own = [RUNS, *[page_of(run) for run in (*orphans, kept)]]
    links = set()
    for address in [*[root + page for page in pages], *own]:
        page = browser.get(address)
        assert page.status_code == 200, address
        links |= set(OF_A_TASK.findall(page.content.decode()))
    assert f"{root}tasks/{kept.task_id}/" in links
    assert {link: browser.get(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_the_page_of_a_run_says_that_its_task_was_deleted(orphans, kept):
    browser = browser_of_superuser()
    head = text_of(browser.get(f"/sisy/runs/{orphans[0].pk}/?parts=head"))
    assert "Task gone deleted" in head
    assert "its task was deleted, and a worker will cancel it shortly" in head
    assert "deleted" not in text_of(browser.get(f"/sisy/runs/{kept.pk}/?parts=head"))


def test_the_runs_of_a_deleted_task_lead_to_each_other(orphans):
    shown = browser_of_superuser().get(f"/sisy/runs/{orphans[1].pk}/?parts=related")
    for other in (orphans[0], orphans[2]):
        assert f"/sisy/runs/{other.pk}/" in shown.content.decode()


def statements_of_deletion(task, *, one):
    """Return how many statements the page that asks first and the deletion itself send."""
    browser = browser_of_superuser()
    address, data = f"{TASKS}{task.pk}/delete/", {}
    if not one:
        address, data = TASKS, {"action": "delete_selected", "_selected_action": [task.pk]}
    with CaptureQueriesContext(connection) as caught:
        asks = browser.get(address) if one else browser.post(address, data)
        deletes = browser.post(address, {**data, "post": "yes"})
    assert (asks.status_code, deletes.status_code) == (200, 302)
    assert not Task.objects.filter(pk=task.pk).exists()
    return len(caught)


@pytest.mark.parametrize("one", [True, False])
def test_the_admin_deletes_a_task_without_collecting_its_runs(one):
    few, many = scheduled("@yearly"), scheduled("@yearly")
    for _ in range(40):
        ended(many)
    key = many.pk
    statements_of_deletion(scheduled("@yearly"), one=one)  # fills caches
    assert statements_of_deletion(few, one=one) == statements_of_deletion(many, one=one)
    assert Run.objects.filter(task=key, state=RunState.SUCCEEDED).count() == 40
