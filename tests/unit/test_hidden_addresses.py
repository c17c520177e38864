"""The addresses of channels are not shown where Django shows all settings."""

from pprint import pformat

import pytest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from sisy import conf
from sisy.alerting.channels import channel_named
from sisy.channel_settings import channels_of

SECRET = "5bf66975-d4c7-4bf5"


@pytest.fixture(
    params=[
        [f"slack://{SECRET}"],
        (f"slack://{SECRET}",),
        {"chat": f"slack://{SECRET}"},
        {"chat": {"to": f"slack://{SECRET}", "tasks": ["a"]}},
    ],
    ids=["list", "tuple", "dict", "options"],
)
def _configured(request, settings):
    settings.SISY_ALERTS = request.param
    settings.SISY_DEADMAN_URL = f"https://example.com/{SECRET}"
    conf.hide_addresses()


@pytest.mark.usefixtures("_configured")
def test_pages_and_mails_about_errors_do_not_show_them(rf):
    assert SECRET not in pformat(SafeExceptionReporterFilter().get_safe_settings())
    report = ExceptionReporter(rf.get("/"), ValueError, ValueError("x"), None)
    assert SECRET not in report.get_traceback_html()
    assert SECRET not in report.get_traceback_text()


@pytest.mark.usefixtures("_configured")
def test_sisy_reads_them_as_before():
    [setting] = channels_of(conf.get_settings().alerts)
    assert setting.to == f"slack://{SECRET}"
    assert conf.get_settings().deadman_url == f"https://example.com/{SECRET}"
    assert SECRET not in repr(vars(channel_named(setting.name)))


@pytest.mark.parametrize("name", ["monitoring_token", "webhook_secret", "deadman_url"])
def test_the_representation_of_the_settings_shows_no_secret(name):
    assert SECRET not in repr(conf.Settings(**{name: SECRET}))


def test_settings_that_do_not_exist_stay_so(settings):
    del settings.SISY_ALERTS
    conf.hide_addresses()
    assert not hasattr(settings, "SISY_ALERTS")
    assert conf.get_settings().alerts == ("email",)
