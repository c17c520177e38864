"""The key of the ledger at a moment."""

import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import Run
from sisy.store.reports import key_at
from tests.support.moments import DAY, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def stored(planned):
    """Store runs with given keys, each planned at a moment."""
    task = scheduled("@yearly")
    runs = [task.new_run(now=moment) for moment in planned.values()]
    for run, pk in zip(runs, planned, strict=True):
        run.pk = pk
    Run.objects.bulk_create(runs)


def first_key(planned, moment):
    """Return what a reading of the whole ledger finds."""
    return min((pk for pk, at in planned.items() if at >= moment), default=max(planned) + 1)


def test_an_empty_ledger_has_no_key():
    assert key_at("default", NOON) == 0


def test_a_single_run_is_at_or_after_the_moment_or_before_it():
    stored({7: NOON})
    assert key_at("default", NOON - SECOND) <= 7
    assert key_at("default", NOON) <= 7
    assert key_at("default", NOON + SECOND) == 8


@pytest.mark.parametrize("seed", range(5))
def test_it_parts_the_ledger_at_the_moment_in_spite_of_gaps_and_equal_moments(seed):
    chance = random.Random(seed)
    pk, moment, planned = 0, NOON - DAY, {}
    for _ in range(chance.randint(1, 60)):
        pk += chance.choice((1, 1, 1, 2, 50, 1_000_000))
        moment += chance.choice((0, 0, 1, 1, 3600)) * SECOND
        planned[pk] = moment
    stored(planned)
    for asked in {*planned.values(), NOON - 2 * DAY, NOON + DAY * 9, moment - MINUTE}:
        key = key_at("default", asked)
        first = first_key(planned, asked)
        below = [pk for pk in planned if pk < key]
        assert below == [pk for pk in planned if pk < first], (seed, asked)
        assert not [pk for pk in planned if first <= pk < key]


def test_after_a_clock_was_set_back_it_ends_where_early_runs_meet_late_ones():
    planned = {number: NOON + number % 50 * MINUTE for number in range(1, 151)}
    stored(planned)
    for minutes in (-1, 0, 10, 25, 49, 50):
        moment = NOON + minutes * MINUTE
        key = key_at("default", moment)
        assert key == min(planned) or planned[key - 1] < moment
        assert key == max(planned) + 1 or planned[key] >= moment


def test_it_takes_one_statement_or_on_mariadb_one_for_each_step():
    stored({number: NOON + number * SECOND for number in range(1, 20)})
    with CaptureQueriesContext(connection) as seen:
        key_at("default", NOON + 7 * SECOND)
    assert len(seen) <= (6 if connection.vendor == "mysql" else 1)
