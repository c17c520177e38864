"""Who may see the health and the metrics of a site."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from sisy import conf
from sisy.exceptions import SettingsError
from tests.admin.people import browser_of, browser_of_superuser
from tests.monitoring.asking import TOKEN, ask
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PATHS = ["health", "metrics"]


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SISY_MONITORING_TOKEN = TOKEN
    scheduled(label="a secret label").run_now()


def is_rejected(answer):
    text = answer.content.decode()
    assert TOKEN not in text
    assert not {"secret", "heartbeat", "queued", "healthy"} & set(text.split())
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sisy"'
    return answer.status_code == 401


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\xe9" * 20, "x" * 9000]
)
def test_a_request_without_the_right_token_is_rejected(path, token):
    assert is_rejected(ask(path, token=token))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", " Bearer "])
def test_a_request_with_the_token_has_access(path, scheme):
    answer = ask(path, token=None, authorization=f"{scheme} {TOKEN}")
    assert answer.status_code in (200, 503)


@pytest.mark.parametrize("path", PATHS)
def test_no_token_is_right_if_none_is_set(path, settings):
    settings.SISY_MONITORING_TOKEN = ""
    assert is_rejected(ask(path, token=""))
    assert is_rejected(ask(path, token=TOKEN))
    assert is_rejected(ask(path, token=None))


@pytest.mark.parametrize("path", PATHS)
def test_users_who_may_see_the_dashboard_have_access(path):
    for browser in browser_of_superuser(), browser_of("view_task"):
        assert browser.get(f"/sisy/{path}").status_code in (200, 503)


@pytest.mark.parametrize("path", PATHS)
def test_users_without_the_permission_are_rejected(path):
    assert is_rejected(browser_of("view_run").get(f"/sisy/{path}"))
    client = Client()
    client.force_login(User.objects.create_user("Kim"))
    assert is_rejected(client.get(f"/sisy/{path}"))


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_token_is_rejected_even_from_a_user_with_access(path):
    headers = {"authorization": "Bearer wrong"}
    assert is_rejected(browser_of_superuser().get(f"/sisy/{path}", headers=headers))


@pytest.mark.parametrize("path", PATHS)
def test_another_kind_of_authorization_does_not_hide_the_user(path):
    headers = {"authorization": "Basic c2l0ZTpwYXNz"}  # of a proxy in front of the site
    answer = browser_of_superuser().get(f"/sisy/{path}", headers=headers)
    assert answer.status_code in (200, 503)


@pytest.mark.parametrize("path", PATHS)
def test_the_token_needs_no_session_and_no_user(path, settings):
    settings.MIDDLEWARE = []
    assert ask(path).status_code in (200, 503)
    assert is_rejected(ask(path, token=None))


@pytest.mark.parametrize("path", PATHS)
def test_a_middleware_that_requires_a_login_accepts_the_token(path, settings):
    required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, required]
    assert ask(path).status_code in (200, 503)
    assert is_rejected(ask(path, token=None))


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_may_be_cached(path):
    for answer in ask(path), ask(path, token="wrong"):
        assert "no-store" in answer.headers["Cache-Control"]
        assert {"Authorization", "Cookie"} <= set(answer.headers["Vary"].split(", "))


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_like_get_without_a_body(path):
    got, headed = ask(path), ask(path, method="head")
    assert (headed.status_code, headed.content) == (got.status_code, b"")
    assert headed.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_other_methods_are_not_allowed(path, method):
    answer = ask(path, method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", PATHS)
def test_each_view_has_a_name(path):
    assert reverse(f"sisy:{path}") == f"/sisy/{path}"


@pytest.mark.parametrize(
    "wrong", ["short", "x" * 501, "with a space in it", "ümläut" * 5, None, 4321]
)
def test_a_weak_token_is_rejected_and_not_shown(wrong, settings):
    settings.SISY_MONITORING_TOKEN = wrong
    with pytest.raises(SettingsError, match="must be 16 to 500 ASCII characters") as caught:
        conf.get_settings()
    assert str(wrong) not in str(caught.value)
