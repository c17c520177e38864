"""The simulation finds what it is there for: each guard is taken away once, on purpose."""

import os
from contextlib import ExitStack

import pytest

from tests.simulation import faults, faults_ahead
from tests.simulation.run import Plan, simulate

BUSY = {"harm_every": 0.03, "deed_every": 0.05, "restless": 0.04, "is_crowded": True}
CROWDED = {"harm_every": 0.03, "deed_every": 0.05, "restless": 0.15, "is_crowded": True}
# A minute and a half, in which most of what is edited is planned ahead.
DENSE = {"harm_every": 0.01, "deed_every": 0.0005, "restless": 0.04, "is_dense": True}
SHORT = 0.001


SEEDS = range(1, 9)  # one of them is surely unlucky
NOT_DUE = "at which it was not due"
NOTHING = "has nothing in the ledger"
FAULTS_AHEAD = [
    (faults_ahead.nothing_withdrawn_by_save, NOT_DUE),
    (faults_ahead.nothing_withdrawn_by_update, "has priority"),
    (faults_ahead.nothing_withdrawn_by_pause, NOT_DUE),
    (faults_ahead.nothing_withdrawn_by_deletion, "was over before it was due"),
    (faults_ahead.no_count_given_back, " runs; there were "),
    (faults_ahead.no_mark_set_back, NOTHING),
    (faults_ahead.mark_set_back_too_little, NOTHING),
    (faults_ahead.no_next_moment_set_back, NOTHING),
    (faults_ahead.due_runs_withdrawn, NOTHING),
    (faults_ahead.change_of_priority_overlooked, "has priority"),
    (faults_ahead.retired_when_planned_ahead, "has retired before"),
    (faults_ahead.last_occurrence_forgotten, " times"),
    (faults_ahead.retired_by_edits_before_the_last_occurrence, "has retired before"),
]
FAULTS_OF_STARTS = [
    (faults_ahead.called_at_the_likely_moment, "started before"),
    (faults_ahead.started_ahead_beside_others, "against its overlap policy"),
]
# They matter only in a moment that no seed up to 40 hits. Tests that choose the moment find
# them: roles/test_started_ahead.py, and roles/test_small_steps_back.py.
RARE_FAULTS = [
    faults_ahead.released_without_its_moment,
    faults_ahead.nothing_withdrawn_when_the_clock_is_set_back,
    faults_ahead.planned_ahead_made_ready_when_the_clock_is_set_back,
]
# Faults that alter different functions, and do not keep each other from being reached, share one
# simulation, which takes seconds. That is enough to see whether they still match the code.
TOGETHER = [
    [
        faults.no_fence,
        faults_ahead.nothing_withdrawn_by_save,
        faults_ahead.nothing_withdrawn_by_update,
        faults_ahead.nothing_withdrawn_by_pause,
        faults_ahead.nothing_withdrawn_by_deletion,
        faults_ahead.nothing_withdrawn_when_the_clock_is_set_back,
    ],
    [
        faults.no_guard_on_what_is_planned,
        faults_ahead.no_count_given_back,
        faults_ahead.last_occurrence_forgotten,
        faults_ahead.called_at_the_likely_moment,
    ],
    [
        faults_ahead.no_mark_set_back,
        faults_ahead.due_runs_withdrawn,
        faults_ahead.retired_when_planned_ahead,
        faults_ahead.released_without_its_moment,
    ],
    [
        faults_ahead.no_next_moment_set_back,
        faults_ahead.mark_set_back_too_little,
        faults_ahead.started_ahead_beside_others,
        faults_ahead.planned_ahead_made_ready_when_the_clock_is_set_back,
    ],
    [
        faults.no_lock_on_what_is_planned,
        faults.no_lock_on_what_overlaps,
        faults_ahead.change_of_priority_overlooked,
        faults_ahead.retired_by_edits_before_the_last_occurrence,
    ],
]

slow = pytest.mark.skipif(
    "SISY_TEST_FAULTS" not in os.environ, reason="takes minutes: make simulate-faults"
)


@pytest.fixture
def found(django_db_blocker, worker_id):
    """Return a function: what is wrong in simulations in which much happens at once.

    It goes on to the next seed until what it looks for is said.
    """

    def simulated(*seeds, looking_for="", days=0.25, site=CROWDED, **options):
        for seed in seeds:
            plan = Plan(seed=seed, days=days, **site)
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
@pytest.mark.parametrize(("fault", "says"), FAULTS_AHEAD)
def test_each_guard_of_planning_ahead_is_missed(found, fault, says):
    with fault():
        assert found(*SEEDS, looking_for=says, site=DENSE, days=SHORT)


@slow
@pytest.mark.parametrize(("fault", "says"), FAULTS_OF_STARTS)
def test_each_guard_of_starting_ahead_is_missed(found, fault, says):
    with fault():
        assert found(*SEEDS, looking_for=says, site=BUSY)


@slow
def test_nothing_is_found_without_an_injected_fault(found):
    assert found(1, 2, 3) == ""
    assert found(1, 2, 3, site=BUSY) == ""
    assert found(1, 2, 3, site=DENSE, days=SHORT) == ""
    assert found(1, 2, 3, site=BUSY | {"steps_clock": True}) == ""
    assert found(1, 2, 3, site=DENSE | {"steps_clock": True}, days=4 * SHORT) == ""


@pytest.mark.parametrize("together", TOGETHER, ids=lambda faults: faults[0].__name__)
def test_each_fault_still_matches_the_code_it_removes(found, together):
    with ExitStack() as stack:
        for fault in together:
            stack.enter_context(fault())
        found(1, site=DENSE, days=SHORT / 5)


def test_no_fault_is_left_out():
    injected = {fault for fault, _ in FAULTS_AHEAD + FAULTS_OF_STARTS} | {*RARE_FAULTS}
    injected |= {faults.no_guard_on_what_is_planned, faults.no_lock_on_what_is_planned}
    injected |= {faults.no_fence, faults.no_lock_on_what_overlaps}
    assert {fault for together in TOGETHER for fault in together} == injected
    assert sum(map(len, TOGETHER)) == len(injected)
