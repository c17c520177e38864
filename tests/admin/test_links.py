"""Each list and each page of the admin leads to the page of the dashboard that shows more."""

from types import ModuleType

import pytest
from django.contrib.admin import AdminSite
from django.urls import clear_url_caches, path

from sisy.admin import RunAdmin
from sisy.models import Queue, Run
from tests.admin.pages import QUEUES, RUNS, TASKS, page_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DASHBOARD = f"{TASKS}dashboard/"
EVERYTHING = ("view_task", "view_run", "view_queue")


def pages():
    """Yield each page with the page of the dashboard to which it leads."""
    task = scheduled()
    run = task.run_now()
    Queue.objects.pause("mail")
    yield TASKS, DASHBOARD
    yield page_of(task), f"{DASHBOARD}tasks/{task.pk}/"
    yield RUNS, f"{DASHBOARD}runs/"
    yield page_of(run), f"{DASHBOARD}runs/{run.pk}/"
    yield QUEUES, f"{DASHBOARD}fleet/"
    yield page_of(Queue.objects.get()), f"{DASHBOARD}fleet/"


def test_each_page_links_to_the_dashboard():
    browsers = (browser_of_superuser(), browser_of(*EVERYTHING))
    for address, shows_more in pages():
        for browser in browsers:
            page = browser.get(address).content.decode()
            assert f'<a href="{shows_more}">Dashboard</a>' in page, address
            assert browser.get(shows_more).status_code == 200


def test_users_without_access_to_the_dashboard_get_no_link():
    browser = browser_of("view_run", "view_queue")
    run = scheduled().run_now()
    for address in (RUNS, page_of(run), QUEUES):
        page = browser.get(address)
        assert page.status_code == 200
        assert "Dashboard" not in page.content.decode()


def test_the_form_for_a_new_task_has_no_link():
    assert DASHBOARD not in browser_of_superuser().get(f"{TASKS}add/").content.decode()


def test_a_site_without_tasks_has_no_dashboard_and_no_link(settings):
    site = AdminSite("ledger")
    site.register(Run, RunAdmin)
    urls = ModuleType("urls_of_the_ledger")
    urls.urlpatterns = [path("ledger/", site.urls)]
    settings.ROOT_URLCONF = urls
    clear_url_caches()
    run = scheduled().run_now()
    for address in ("/ledger/sisy/run/", f"/ledger/sisy/run/{run.pk}/change/"):
        page = browser_of_superuser().get(address)
        assert page.status_code == 200
        assert "Dashboard" not in page.content.decode()
