"""What all pages of the dashboard have in common: who may look, and their parts."""

import re
from types import ModuleType

import pytest
from django.contrib.admin import AdminSite
from django.contrib.admin import site as usual_site
from django.test import Client
from django.urls import clear_url_caches, path, reverse

from sisy.admin import TaskAdmin
from sisy.dashboard import Dashboard
from sisy.dashboard.routes import patterns
from sisy.heartbeat import tick
from sisy.models import Task
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ALONE, IN_ADMIN = "/sisy/", "/admin/sisy/task/dashboard/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'"
)


@pytest.mark.parametrize("address", [ALONE, IN_ADMIN])
def test_users_who_may_view_tasks_see_the_pages(address):
    assert browser_of("view_task").get(address).status_code == 200


@pytest.mark.parametrize("address", [ALONE, IN_ADMIN])
def test_users_without_the_permission_see_no_page(address):
    assert browser_of("view_run").get(address).status_code == 403
    asked_in = Client().get(address)
    assert asked_in.status_code == 302
    assert "login" in asked_in["Location"]


def test_users_who_are_not_staff_see_no_page(django_user_model):
    person = django_user_model.objects.create_user("Robin", is_superuser=True)
    client = Client()
    client.force_login(person)
    assert client.get(ALONE).status_code == 403


def test_the_pages_of_a_dashboard_link_to_its_own_pages():
    for address in (ALONE, IN_ADMIN):
        page = browser_of_superuser().get(address).content.decode()
        tabs = re.search(r'class="sisy-tabs".*?</nav>', page, re.DOTALL)[0]
        assert all(link.startswith(address) for link in re.findall(r'href="(.*?)"', tabs))


def test_a_project_decides_who_has_access_and_on_which_template(rf, django_user_model):
    class Ours(Dashboard):
        base_template = "sisy/dashboard/alone.html"

        def may(self, user, permission):
            return user.username == "Kim"

    [overview] = [pattern for pattern in patterns(Ours()) if pattern.name == "overview"]
    request = rf.get("/")
    request.user = django_user_model(username="Kim")
    assert overview.callback(request).status_code == 200


def test_the_pages_are_part_of_every_admin_site(settings):
    site = AdminSite("ops")
    site.register(Task, TaskAdmin)
    urls = ModuleType("urls_of_ops")
    urls.urlpatterns = [path("ops/", site.urls), path("admin/", usual_site.urls)]
    settings.ROOT_URLCONF = urls
    clear_url_caches()
    page = browser_of_superuser().get("/ops/sisy/task/dashboard/").content.decode()
    tabs = re.search(r'class="sisy-tabs".*?</nav>', page, re.DOTALL)[0]
    assert all(link.startswith("/ops/") for link in re.findall(r'href="(.*?)"', tabs))
    listed = browser_of_superuser().get("/ops/sisy/task/").content.decode()
    assert '<a href="/ops/sisy/task/dashboard/">Dashboard</a>' in listed
    assert browser_of("view_run").get("/ops/sisy/task/dashboard/tasks/").status_code == 403


def test_a_part_is_fetched_by_itself_and_only_once_as_long_as_it_stays_the_same():
    client = browser_of("view_task")
    found = client.get(f"{ALONE}?parts=counts")
    assert found.content.decode().count("data-sisy-part=") == 1
    again = client.get(f"{ALONE}?parts=counts", headers={"If-None-Match": found["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    scheduled()
    tick("default", NOON + MINUTE)
    changed = client.get(f"{ALONE}?parts=counts", headers={"If-None-Match": found["ETag"]})
    assert changed.status_code == 200


def test_unknown_parts_are_not_found():
    browser = browser_of("view_task")
    assert browser.get(f"{ALONE}?parts=nonsense,%00").status_code == 404
    assert browser.get(f"{ALONE}?parts=").content == b""


def test_a_page_from_before_a_deploy_still_gets_known_parts():
    page = browser_of("view_task").get(f"{ALONE}?parts=nonsense,status").content.decode()
    assert re.findall(r'data-sisy-part="(\w+)"', page) == ["status"]


def test_a_page_breaks_no_strict_content_security_policy():
    page = browser_of_superuser().get(ALONE).content.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))


@pytest.mark.parametrize("verb", ["run", "pause", "resume", "cancel"])
def test_a_button_needs_its_own_permission_and_a_form(verb):
    task = scheduled()
    address = reverse("sisy:act_on_tasks", args=[verb])
    allowed = {"run": "run_task", "cancel": "cancel_run"}.get(verb, "pause_task")
    others = {"run_task", "pause_task", "cancel_run", "change_task"} - {allowed}
    refused = browser_of("view_task", *others)
    assert refused.post(address, {"pk": task.pk}).status_code == 403
    able = browser_of("view_task", allowed)
    assert able.get(address).status_code == 405
    assert able.post(address, {"pk": task.pk, "next": ALONE})["Location"] == ALONE


def test_an_unknown_verb_is_rejected():
    address = reverse("sisy:act_on_tasks", args=["explode"])
    assert browser_of_superuser().post(address, {"pk": "1"}).status_code == 403


def test_forms_redirect_to_no_other_site():
    address = reverse("sisy:act_on_queue", args=["pause"])
    answer = browser_of_superuser().post(address, {"name": "q", "next": "https://evil.example/"})
    assert answer["Location"].startswith(ALONE)


def test_forms_from_other_sites_do_nothing():
    client = Client(enforce_csrf_checks=True)
    client.force_login(browser_of_superuser().get(ALONE).wsgi_request.user)
    task = scheduled()
    answer = client.post(reverse("sisy:act_on_tasks", args=["pause"]), {"pk": task.pk})
    task.refresh_from_db()
    assert (answer.status_code, task.state) == (403, "active")
