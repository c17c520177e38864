"""Whoever is not logged in is sent to a page that exists; a check says where it does not."""

import sys
import types

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from sisy.checks.login import check_login

pytestmark = pytest.mark.django_db

SISY = path("sisy/", include("sisy.urls"))
ADMIN = path("admin/", admin.site.urls)
LOGIN = path("accounts/login/", lambda request: HttpResponse("log in"), name="sign-in")


@pytest.fixture
def mount(monkeypatch, settings):
    """Return a function that lets the project have other addresses."""
    numbers = iter(range(100))

    def mounted(*patterns):
        module = types.ModuleType(f"login_urls_{next(numbers)}")
        module.urlpatterns = list(patterns)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__

    return mounted


def sent_to():
    response = Client().get("/sisy/tasks/")
    assert response.status_code == 302
    return response["Location"].partition("?")[0]


@pytest.mark.parametrize(
    ("login_url", "address"),
    [
        ("/accounts/login/", "/accounts/login/"),
        ("sign-in", "/accounts/login/"),
        ("admin:login", "/admin/login/"),
        ("https://sso.example.org/login", "https://sso.example.org/login"),
        ("//sso.example.org/login", "//sso.example.org/login"),
        ("/accounts/login/?by=mail", "/accounts/login/"),
    ],
)
def test_a_login_page_that_exists_is_used_without_a_warning(mount, settings, login_url, address):
    mount(SISY, ADMIN, LOGIN)
    settings.LOGIN_URL = login_url
    assert sent_to() == address
    assert check_login() == []


def test_a_page_of_each_language_exists(mount, settings):
    mount(SISY, *i18n_patterns(LOGIN))
    settings.LOGIN_URL = "/accounts/login/"
    assert sent_to() == "/accounts/login/"  # from where LocaleMiddleware redirects
    assert check_login() == []


@pytest.mark.parametrize("login_url", ["/accounts/login/", "sign-in", "nowhere:login", "/log in/"])
def test_the_admins_login_page_replaces_a_missing_one(mount, settings, login_url):
    mount(SISY, ADMIN)
    settings.LOGIN_URL = login_url
    assert sent_to() == "/admin/login/"
    [warning] = check_login()
    assert (warning.id, warning.obj) == ("sisy.W015", "LOGIN_URL")
    assert f"LOGIN_URL = {login_url!r}" in warning.msg
    assert "/admin/login/" in warning.hint


def test_without_an_admin_the_warning_says_that_users_cannot_log_in(mount, settings):
    mount(SISY)
    settings.LOGIN_URL = "/accounts/login/"
    assert sent_to() == "/accounts/login/"
    [warning] = check_login()
    assert warning.hint.endswith("Until then, users cannot log in.")


def test_a_project_without_the_dashboard_is_not_warned(mount, settings):
    mount(ADMIN)
    assert check_login() == []
    settings.ROOT_URLCONF = "no_such_module_of_urls"
    assert check_login() == []
    settings.ROOT_URLCONF = ""
    assert check_login() == []
