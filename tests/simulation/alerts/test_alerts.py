"""Some problems, one after the other, and the same with a guard taken away."""

import os
import random

import pytest

from sisy.records.problems import Kind
from tests.simulation.alerts import expectations, failures, faults, outages, run, site
from tests.simulation.alerts.fleet import FAILS, WELL
from tests.simulation.alerts.run import Plan, simulate
from tests.simulation.run import NEW_YEAR
from tests.support.moments import MINUTE

LONGEST = 15 * MINUTE

slow = pytest.mark.skipif(
    "SISY_TEST_FAULTS" not in os.environ, reason="takes minutes: make simulate-faults"
)


def calm_for_a_moment(self):
    """Let each problem begin soon, and only once."""
    yield self.later(0.3, 1) if self.world.now < NEW_YEAR + 2 * MINUTE else self.later(60)


@pytest.fixture
def verdict_of(django_db_blocker, worker_id, monkeypatch):
    """Return a function: the verdict on the alerts of a small site, after some problems."""
    monkeypatch.setattr(site.Site, "calm", calm_for_a_moment)
    monkeypatch.setattr(run, "REST", 3.0)

    def judged(scripts, problems=1, seed=1):
        plan = Plan(seed=seed, tasks=1)
        print(f"The seed is {seed}")
        with django_db_blocker.unblock():
            _, verdict = simulate(
                plan,
                f"sisy_simulated_alerts_{worker_id}",
                is_enough=lambda site: (
                    len(site.injections.all) >= problems or site.world.now > NEW_YEAR + LONGEST
                ),
                scripts=scripts,
            )
        print(*verdict.lines(), sep="\n")
        return verdict

    return judged


def fails(site):
    return [failures.task_that(site, "failing", FAILS, Kind.FAILING)]


def fails_thrice(site):
    return [failures.task_that(site, "failing thrice", FAILS, Kind.FAILING, times=3)]


def takes_too_long(site):
    return [expectations.overrun(site, "too slow", WELL)]


def several(site):
    return [
        *(fails(site)),
        *(takes_too_long(site)),
        failures.one_shot(site),
        failures.rerun(site),
        failures.task_with_a_bad(site, "schedule", "nonsense"),
        expectations.queue_without_worker(site),
        outages.disturb(site),
    ]


def test_each_of_several_problems_has_one_alert_and_one_recovery(verdict_of):
    verdict = verdict_of(several, problems=5, seed=random.SystemRandom().randrange(1_000_000))
    assert verdict.violations == []
    assert sum(verdict.kinds.values()) >= 5


@slow
@pytest.mark.parametrize(
    ("fault", "scripts", "says"),
    [
        (faults.no_unique_key, takes_too_long, " alerts: too slow"),
        (faults.no_recovery, fails, "still open: failing"),
        (faults.no_threshold, fails_thrice, "false alert: failing: failing thrice"),
        (faults.rare_rounds, takes_too_long, "no alert: too slow"),
        (faults.no_message, takes_too_long, "0 messages of its opening: too slow"),
    ],
)
def test_each_guard_of_alerts_is_missed(verdict_of, fault, scripts, says):
    with fault():
        assert says in "\n".join(verdict_of(scripts).violations)


@slow
@pytest.mark.parametrize("scripts", [fails, fails_thrice, takes_too_long])
def test_nothing_is_found_with_all_guards(verdict_of, scripts):
    assert verdict_of(scripts).violations == []
