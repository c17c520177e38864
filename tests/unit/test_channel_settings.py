"""``SISY_ALERTS`` names channels, and says why it is wrong without showing a secret."""

import pytest

from sisy import conf
from sisy.alerting import channels
from sisy.channel_settings import channels_of
from sisy.exceptions import SettingsError

SECRET = "xoxb-5bf66975"
SLACK = f"slack://{SECRET}/T1/B1"


def names_of(value):
    return [one.name for one in channels_of(value)]


def test_channels_of_a_list_are_named_by_their_scheme():
    listed = ["email", SLACK, "https://example.com/hook", "http://example.com/hook", SLACK]
    assert names_of(listed) == ["email", "slack", "webhook", "webhook-2", "slack-2"]


def test_channels_of_a_dict_have_names_of_their_own():
    value = {"on-call": {"to": SLACK, "queues": ["billing"]}, "mail": "email"}
    assert names_of(value) == ["on-call", "mail"]


@pytest.mark.parametrize("value", [[], {}, ()])
def test_an_empty_list_turns_all_channels_off(value):
    assert channels_of(value) == []


@pytest.mark.parametrize(
    "value",
    [
        SLACK,
        None,
        5,
        [f"slak:/{SECRET}"],
        [f"{SECRET}"],
        ["email:nobody"],
        [""],
        [None],
        [{"tasks": ["invoices"]}],
        [{"to": SLACK, "task": ["invoices"]}],
        [{"to": SLACK, "tasks": "invoices"}],
        [{"to": SLACK, "queues": [5]}],
        {"": SLACK},
        {"on call": SLACK},
        {"x" * 61: SLACK},
        {5: SLACK},
    ],
)
def test_an_invalid_channel_is_rejected_without_its_address(value, settings):
    with pytest.raises(SettingsError) as caught:
        channels_of(value)
    assert SECRET not in str(caught.value)
    settings.SISY_ALERTS = value
    [problem] = conf.problems()
    assert "SISY_ALERTS" in problem
    assert SECRET not in problem


def test_an_unknown_option_names_the_nearest_one():
    with pytest.raises(SettingsError, match="Did you mean 'tasks'"):
        channels_of([{"to": SLACK, "task": []}])


def test_no_representation_contains_an_address_or_a_secret(settings):
    settings.SISY_ALERTS = [SLACK, f"https://example.com/{SECRET}"]
    settings.SISY_WEBHOOK_SECRET = f"{SECRET}-and-more"
    shown = f"{channels_of(settings.SISY_ALERTS)!r} {conf.get_settings()!r}"
    assert SECRET not in shown


def test_a_channel_gets_what_concerns_its_tasks_and_queues():
    [one] = channels_of([{"to": SLACK, "tasks": ["bill*"], "queues": ["cpu"]}])
    assert one.wants("billing", "default")
    assert one.wants("reports", "cpu")
    assert not one.wants("reports", "default")


def test_a_digest_contains_for_each_channel_only_what_concerns_it(settings):
    settings.SISY_ALERTS = {
        "all": SLACK,
        "some": {"to": SLACK, "tasks": ["billing"]},
        "none": {"to": SLACK, "queues": ["cpu"]},
    }
    notices = [{"what": "billing", "queue": ""}, {"what": "reports", "queue": "default"}]
    routed = dict(channels.routed({"notices": notices}))
    assert {name: payload["notices"] for name, payload in routed.items()} == {
        "all": notices,
        "some": notices[:1],
    }


def test_email_is_a_channel_by_itself_if_there_are_admins(settings):
    settings.ADMINS = []
    assert [one.name for one in channels.configured()] == []
    settings.ADMINS = [("Ann", "ann@example.com")]
    assert [one.name for one in channels.configured()] == ["email"]


@pytest.mark.parametrize("admins", [[("Ann", "ann@example.com")], ["ann@example.com"]])
def test_admins_are_read_as_any_version_of_django_writes_them(admins, settings):
    settings.ADMINS = admins
    assert channels.admins() == ["ann@example.com"]


@pytest.mark.parametrize(
    "url", ["example.com", "https://", "https://a b", "ftp://a", "https://a/?q=1", "https://a/#x"]
)
def test_an_invalid_address_of_the_site_is_rejected(url, settings):
    settings.SISY_SITE_URL = url
    assert "SISY_SITE_URL must be the address of your site" in conf.problems()[0]


@pytest.mark.parametrize("url", ["https://example.com", "https://example.com/", "http://a:80/b/"])
def test_the_address_of_the_site_has_no_slash_at_its_end(url, settings):
    settings.SISY_SITE_URL = url
    assert conf.get_settings().site_url == url.rstrip("/")
