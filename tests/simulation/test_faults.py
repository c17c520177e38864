"""The simulation finds what it is there for: each guard is taken away once, on purpose."""

import os

import pytest

from tests.simulation import faults
from tests.simulation.run import Plan, simulate

CROWDED = {"harm_every": 0.03, "deed_every": 0.05, "restless": 0.15, "is_crowded": True}


SEEDS = range(1, 9)  # one of them is surely unlucky
FAULTS = [
    faults.no_guard_on_what_is_planned,
    faults.no_lock_on_what_is_planned,
    faults.no_fence,
    faults.no_lock_on_what_overlaps,
]

slow = pytest.mark.skipif(
    "SISY_TEST_FAULTS" not in os.environ, reason="takes minutes: make simulate-faults"
)


@pytest.fixture
def found(django_db_blocker, worker_id):
    """Return a function: what is wrong in simulations in which much happens at once.

    It goes on to the next seed until what it looks for is said.
    """

    def simulated(*seeds, looking_for="", days=0.25, **options):
        for seed in seeds:
            plan = Plan(seed=seed, days=days, **CROWDED)
            with django_db_blocker.unblock():
                history = simulate(plan, f"sisy_simulated_faults_{worker_id}", **options)
            said = "\n".join(history.violations)
            # A fault that no longer fits what it replaces would be found, too.
            assert "TypeError" not in said, said
            if said and looking_for in said:
                return said
        return ""

    return simulated


@slow
def test_planning_without_lock_and_compare_and_set_is_found(found):
    with faults.no_guard_on_what_is_planned():
        assert found(*SEEDS, looking_for=" runs; there were ")


@slow
def test_planning_without_a_lock_is_as_exact_thanks_to_the_compare_and_set(found):
    with faults.no_lock_on_what_is_planned():
        assert found(1, 2, 3) == ""


@slow
def test_workers_without_a_fence_are_found(found):
    with faults.no_fence():
        assert found(*SEEDS, looking_for="outcome of another attempt")


@slow
def test_workers_without_a_lock_on_what_overlaps_are_found(found):
    with faults.no_lock_on_what_overlaps():
        assert found(*SEEDS, looking_for="against its overlap policy")


@slow
def test_a_use_of_the_hosts_clock_is_found(found):
    assert found(*SEEDS, looking_for="started before", clock_of=faults.HostsClock)


@slow
def test_nothing_is_found_without_an_injected_fault(found):
    assert found(1, 2, 3) == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_still_matches_the_code_it_removes(found, fault):
    with fault():
        found(1, days=0.002)
