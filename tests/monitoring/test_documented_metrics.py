"""The manual lists each metric with its labels."""

import pytest

from sisy.monitoring import counting
from tests.docs.pages import DOCS, tables_of, words_in
from tests.monitoring.families import LABELS, exposed_names

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

TABLES = tables_of(DOCS / "howto" / "monitoring.md")


def test_the_manual_lists_each_metric_with_its_labels():
    counting.forget()
    told = {words_in(name)[0]: words_in(labels) for name, labels, _ in TABLES["Metric"]}
    assert set(told) == exposed_names()
    assert {name: list(labels) for name, labels in LABELS.items()} == told


def test_the_manual_lists_each_outcome():
    outcomes = {words_in(outcome)[0] for outcome, _ in TABLES["Outcome"]}
    assert outcomes == {
        *("succeeded", "failed", "timed_out", "cancelled", "lost", "missed", "skipped")
    }
