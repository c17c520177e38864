"""Addresses of services, which contain secrets."""

import pytest

from sisy import conf
from sisy.addresses import masked_address, problem_with_address
from sisy.exceptions import SettingsError

SECRET = "5bf66975-d4c7-4bf5"


@pytest.mark.parametrize(
    "address",
    [
        f"https://hc-ping.com/{SECRET}",
        "http://monitor:8000/ping?create=1",
        "http://[::1]:8000/ping",
        "https://example.org",
    ],
)
def test_an_address_of_a_page_is_accepted(settings, address):
    settings.SISY_DEADMAN_URL = address
    assert conf.get_settings().deadman_url == address
    assert SECRET not in repr(conf.get_settings())


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (f"ftp://example.org/{SECRET}", "it does not begin with http:// or https://"),
        (f"/{SECRET}", "it names no valid host and port"),
        (f"https:///{SECRET}", "it names no valid host and port"),
        (f"https://example.org:99999/{SECRET}", "it names no valid host and port"),
        (f"https://[::1/{SECRET}", "it names no valid host and port"),
        (f"https://me:{SECRET}@example.org/", "it contains a user name or a password"),
        (f"https://example.org/#{SECRET}", "it contains a '#'"),
        (f"https://example.org/{SECRET}\r\nHost: other", "it is empty or contains spaces"),
        (f"https://exämple.org/{SECRET}", "it is empty or contains spaces"),
        (f"https://example.org/{SECRET}/" + "x" * 500, "it is longer than the limit of 500"),
        (7, "it is a int"),
        (None, "it is a NoneType"),
    ],
)
def test_anything_else_is_rejected_without_being_quoted(settings, address, why):
    settings.SISY_DEADMAN_URL = address
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    words = str(caught.value)
    assert words.startswith("SISY_DEADMAN_URL must be an address such as 'https://hc-ping.com/…'")
    assert why in words
    assert SECRET not in words


def test_an_empty_setting_turns_the_switch_off(settings):
    settings.SISY_DEADMAN_URL = ""
    assert conf.get_settings().deadman_url == ""
    assert problem_with_address("ping", "") != ""


def test_a_masked_address_shows_only_its_host():
    assert masked_address(f"https://hc-ping.com:8443/{SECRET}?a={SECRET}") == (
        "https://hc-ping.com:8443/•••"
    )
    assert masked_address(f"nonsense {SECRET}") == "•••"
