"""The comparison of the ledger with the tables of queued and of running runs."""

import pytest

from tests.support import small_tables
from tests.support.small_tables import differences, disagreements

QUEUED = {"task": 3, "engine": "", "queue": "mail", "ready_at": 12.0}
RUN = {"pk": 7, **QUEUED}
ENTRY = {"run": 7, **QUEUED}


def found(runs, entries):
    return list(differences("queued", runs, entries))


def test_tables_that_agree_have_no_difference():
    assert found([], []) == []
    assert found([RUN], [ENTRY]) == []


def test_each_queued_run_has_exactly_one_entry():
    assert found([RUN], []) == ["run 7 is queued, and has 0 entries as queued"]
    assert found([RUN], [ENTRY, ENTRY]) == ["run 7 is queued, and has 2 entries as queued"]


def test_no_entry_is_of_a_run_that_is_not_queued():
    assert found([], [ENTRY]) == ["run 7 is not queued, and has 1 entries as queued"]


@pytest.mark.parametrize(
    ("name", "value"), [("task", 4), ("engine", "celery"), ("queue", "slow"), ("ready_at", 13.0)]
)
def test_an_entry_says_what_its_run_says(name, value):
    [difference] = found([RUN], [{**ENTRY, name: value}])
    assert f"{name} {RUN[name]!r}, and its entry says {value!r}" in difference


@pytest.mark.django_db
def test_a_ledger_without_small_tables_has_none_to_compare(monkeypatch):
    monkeypatch.setattr(small_tables, "small_tables", dict)
    assert disagreements() == []
