"""Secrets in the data that people see."""

import pytest

from sisy.reports.disclosure import HIDDEN, masked


@pytest.mark.parametrize("name", ["password", "API_TOKEN", "aws_secret", "Key", "db-password"])
def test_what_stands_under_a_name_that_tells_of_a_secret_is_hidden(name):
    assert masked({name: "s3cr3t", "shop": 1}) == {name: HIDDEN, "shop": 1}


def test_secrets_are_found_however_deep_they_lie():
    value = {"shops": [{"name": "north", "login": {"password": ["a", "b"]}}], "n": None}
    assert masked(value) == {
        "shops": [{"name": "north", "login": {"password": HIDDEN}}],
        "n": None,
    }


@pytest.mark.parametrize("value", [None, 7, "password", [1, "key"], True, {}])
def test_what_has_no_names_is_shown(value):
    assert masked(value) == value


def test_the_project_says_which_names_tell_of_secrets(settings):
    settings.SISY_MASKED = ["iban"]
    assert masked({"IBAN": "DE00", "password": "shown"}) == {"IBAN": HIDDEN, "password": "shown"}
