"""A real server, and a real browser that somebody looks through."""

import os
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connections
from playwright.sync_api import expect, sync_playwright

from tests.browser.chromium import launch
from tests.browser.serving import serve
from tests.processes.databases import migrate, on_sqlite, sqlite_settings
from tests.processes.site import Site

# Playwright runs an event loop in this thread, beside which Django would refuse to be asked.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

expect.set_options(timeout=20_000)  # the machine may be busy; less than every page waits at most

WIDTHS = {"wide": 1440, "narrow": 390}


@pytest.fixture(scope="session", autouse=True)
def site(tmp_path_factory, django_db_blocker):
    """A site on SQLite, whose database the models of the tests use, too."""
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder, on_sqlite(folder))
    site.environment["DJANGO_SETTINGS_MODULE"] = "tests.browser.settings"
    # Wherever a connection is made: Playwright has contexts of its own, each with another one.
    connections.settings["default"].update(sqlite_settings(folder))
    with django_db_blocker.unblock():
        try:
            migrate(site)
            User.objects.create_superuser("Sam", password="anvil")
            yield site
        finally:
            site.close()


@pytest.fixture(scope="session")
def address(site):
    return serve(site)[1]


@pytest.fixture
def address_without_layer(site):
    server, address = serve(site, SISY_TEST_SETTINGS='{"CHANNEL_LAYERS": {}}')
    yield address
    server.stop()  # its worker would take runs of which it could tell nobody


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def accepted():
    """What a browser may complain of; Django's page for signing in names no icon."""
    return ["favicon.ico"]


@pytest.fixture
def look(browser, accepted):
    """A function that opens a window, in which nothing may go wrong until the test has ended."""
    complaints = []

    @contextmanager
    def opened(address, user="Sam", **options):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        context.set_default_timeout(20_000)
        window = context.new_page()
        window.on("console", lambda message: _complain(message, complaints))
        window.on("pageerror", lambda error: complaints.append(str(error)))
        if user:
            window.goto(f"{address}/admin/login/?next=/sisy/")
            window.fill("#id_username", user)
            window.fill("#id_password", "anvil")
            window.click("[type=submit]")
            window.wait_for_selector("[data-sisy-link][data-how]")
        yield window
        context.close()

    yield opened
    assert [one for one in complaints if not any(map(one.count, accepted))] == []


def _complain(message, complaints):
    if message.type in ("error", "warning"):
        complaints.append(f"{message.text} {message.location}")


def person(name, *permissions):
    """Store somebody of the staff who may do these things."""
    somebody = User.objects.create_user(name, password="anvil", is_staff=True)
    somebody.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return somebody
