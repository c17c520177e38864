"""Weeks in seconds, and the same again from the same seed."""

import os
import random
from datetime import timedelta

import pytest
from django.db import connection

from tests.simulation import cast
from tests.simulation.run import Plan, simulate
from tests.simulation.world import utc

# Each run of the tests has another seed: many short simulations see what one long one does.
DAYS = 32 if connection.vendor == "sqlite" else 10  # more by hand: make simulate DAYS=365
RESTLESS = {"harm_every": 8, "deed_every": 10}
SPRING_AND_AUTUMN = [utc(cast.YEAR, 3, 20), utc(cast.YEAR, 10, 23)]


@pytest.fixture
def history_of(django_db_blocker, worker_id):
    """Return a function that carries out a plan, and shows how to do so again."""

    def carry_out(plan):
        print(f"again by: {plan.command}")
        with django_db_blocker.unblock():
            history = simulate(plan, f"sisy_simulation_{worker_id}")
        print(history.summary())
        return history

    return carry_out


def some_seed():
    return int(os.environ.get("SISY_TEST_SEED") or random.SystemRandom().randrange(1_000_000))


def test_weeks_of_crashes_and_edits_leave_each_occurrence_in_the_ledger_once(history_of):
    history = history_of(Plan(seed=some_seed(), days=DAYS))
    assert history.violations == []
    assert sum(map(len, history.executions.values())) > DAYS


def test_steps_of_the_databases_clock_lose_and_repeat_nothing(history_of):
    history = history_of(Plan(seed=some_seed(), days=DAYS / 4, steps_clock=True, harm_every=6))
    assert history.violations == []


@pytest.mark.parametrize("start", SPRING_AND_AUTUMN, ids=["spring", "autumn"])
def test_weeks_in_which_clocks_are_set_are_exact(history_of, start):
    history = history_of(Plan(seed=7, days=8, start=start - timedelta(days=3), **RESTLESS))
    assert history.violations == []


def test_a_seed_repeats_a_simulation_exactly(history_of):
    plan = Plan(seed=3, days=0.03, is_crowded=True, harm_every=0.1, deed_every=0.1, restless=0.1)
    first, second = history_of(plan), history_of(plan)
    assert first.trace() == second.trace()
