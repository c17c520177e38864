"""Secrets in the data that people see."""

import pytest

from sisy.addresses import HIDDEN
from sisy.reports.disclosure import masked


@pytest.mark.parametrize("name", ["password", "API_TOKEN", "aws_secret", "Key", "db-password"])
def test_values_with_a_secrets_name_are_masked(name):
    assert masked({name: "s3cr3t", "shop": 1}) == {name: HIDDEN, "shop": 1}


def test_secrets_are_masked_at_any_level():
    value = {"shops": [{"name": "north", "login": {"password": ["a", "b"]}}], "n": None}
    assert masked(value) == {
        "shops": [{"name": "north", "login": {"password": HIDDEN}}],
        "n": None,
    }


@pytest.mark.parametrize("value", [None, 7, "password", [1, "key"], True, {}])
def test_values_without_names_are_shown(value):
    assert masked(value) == value


def test_the_project_decides_which_names_are_secret(settings):
    settings.SISY_MASKED = ["iban"]
    assert masked({"IBAN": "DE00", "password": "shown"}) == {"IBAN": HIDDEN, "password": "shown"}
