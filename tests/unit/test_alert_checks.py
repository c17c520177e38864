"""``manage.py check`` reports channels that cannot send."""

import sys

import pytest
from django.core.checks import run_checks

SECRET = "5bf66975-d4c7-4bf5"


@pytest.fixture(autouse=True)
def _site(settings):
    settings.ADMINS = ["ann@example.com"]
    settings.SISY_SITE_URL = "https://example.com"
    settings.SISY_WEBHOOK_SECRET = "a-secret-of-the-tests"


def found(*, deploy=False):
    reported = run_checks(tags=["sisy"], include_deployment_checks=deploy)
    ours = [one for one in reported if one.id in {f"sisy.W0{n}" for n in range(16, 20)}]
    assert SECRET not in str([str(one) for one in ours])
    return [one.id for one in ours]


def test_mail_to_admins_with_links_is_right():
    assert found(deploy=True) == []


def test_a_missing_address_of_the_site_is_reported(settings):
    settings.SISY_SITE_URL = ""
    assert found() == ["sisy.W016"]


@pytest.mark.parametrize("off", [{"SISY_ALERTS": []}, {"ADMINS": []}])
def test_it_does_not_matter_if_nothing_is_sent(off, settings):
    settings.SISY_SITE_URL = ""
    for name, value in off.items():
        setattr(settings, name, value)
    assert found() == []


def test_a_webhook_without_a_secret_is_reported(settings):
    settings.SISY_ALERTS = [f"https://example.com/{SECRET}"]
    assert found() == []
    settings.SISY_WEBHOOK_SECRET = ""
    assert found() == ["sisy.W017"]


def test_an_address_that_apprise_does_not_accept_is_reported(settings):
    settings.SISY_ALERTS = [f"json://example.com/{SECRET}"]
    assert found() == []
    settings.SISY_ALERTS = [f"nonsense://{SECRET}"]
    assert found() == ["sisy.W018"]


def test_a_missing_apprise_is_reported(settings, monkeypatch):
    settings.SISY_ALERTS = [f"json://example.com/{SECRET}"]
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert found() == ["sisy.W018"]


def test_a_deployed_site_without_recipients_is_reported(settings):
    settings.ADMINS = []
    assert found(deploy=True) == ["sisy.W019"]
    settings.SISY_ALERTS = []
    assert found(deploy=True) == []
