"""An empty list in a statement holds nothing, on each database and also within NOT (…)."""

import pytest

from sisy.models import Task
from sisy.store.statements import Statement
from tests.app import jobs
from tests.models.test_hot_statements import claimed
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def two_runs():
    """Return two runs of functions, whose target has no key."""
    task = Task.run_once(jobs.noop)
    task.new_run(now=NOON, due_at=NOON).save()
    return list(task.runs.order_by("pk"))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("target_pk {in_pks}", False),
        ("target_pk {not_in_pks}", True),
        ("NOT (target_pk {in_pks})", True),
        ("NOT (target_pk {in_pks} AND id > 0)", True),
        ("NOT (target_pk {not_in_pks} AND id > 0)", False),
        ("state {in_pks} OR id < 0", False),
    ],
)
def test_no_value_is_in_an_empty_list_not_even_null(two_runs, condition, holds):
    rows = Statement(f"SELECT id FROM sisy_run WHERE {condition}").rows("default", pks=[])
    assert sorted(pk for (pk,) in rows) == ([run.pk for run in two_runs] if holds else [])


def test_a_claim_leaves_out_nothing_if_only_one_of_its_lists_is_given(two_runs):
    """A claim passes two lists, and most often one or both of them are empty."""
    for blocked, missing in ({2**62}, ()), ((), {"shop.a"}), ((), ()):
        assert {run.pk for run in claimed("default", "", blocked, missing)} == {
            run.pk for run in two_runs
        }
