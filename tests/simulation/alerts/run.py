"""One simulation of alerts, from its beginning to its verdict."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from django.test import override_settings

from tests.simulation.alerts import expectations, failures, outages
from tests.simulation.alerts.fleet import SLOTS
from tests.simulation.alerts.site import Script, Site
from tests.simulation.alerts.verdict import Verdict
from tests.simulation.run import NEW_YEAR, SETTINGS, enter_world, errors_are_violations
from tests.support.moments import HOUR

ALERTS = {
    "all": "https://example.com/all",
    "failing": {"to": "https://example.com/failing", "tasks": ["failing*", "storm *"]},
    "queues": {"to": "https://example.com/queues", "queues": ["narrow", "crowded", "remote"]},
}
REST = 12.0  # minutes in which nothing happens, and no message may follow
EXPECTED = "logged: Marked task"  # as broken, which is among what is injected
LONGEST_END = 2 * HOUR  # until all problems are over, once no more begin


def all_scripts(site: Site) -> list[Script]:
    """Return all scripts."""
    modules = (failures, expectations, outages)
    return [script for module in modules for script in module.all_scripts(site)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to simulate.

    Attributes:
        tasks: that run each minute, and are well.
        restless: how often a heartbeat is interrupted before a statement.
    """

    seed: int = 1
    occurrences: int = 100_000
    tasks: int = 100
    heartbeats: int = 3
    restless: float = 0.002

    @property
    def command(self) -> str:
        """Return how to carry it out by hand."""
        return (
            f"python -m tests.simulation.alerts --seed {self.seed} --occurrences "
            f"{self.occurrences} --tasks {self.tasks} --heartbeats {self.heartbeats} "
            f"--restless {self.restless:g}"
        )


def simulate(
    plan: Plan,
    name: str = "sisy_simulated_alerts",
    is_enough: Callable[[Site], bool] = lambda site: False,
    scripts: Callable[[Site], Iterable[Script]] = all_scripts,
) -> tuple[Site, Verdict]:
    """Carry it out, and return the site and the verdict.

    Args:
        name: of the database, and of nobody else's.
        is_enough: whether to end early; it is called every five minutes of the site.
        scripts: what happens there.
    """
    with ExitStack() as stack:
        stack.enter_context(override_settings(**SETTINGS, SISY_ALERTS=ALERTS, SISY_ENGINES={}))
        world = enter_world(stack, plan.seed, NEW_YEAR, plan.restless, name)
        site = Site(world, plan.heartbeats)
        stack.callback(site.close)
        stack.enter_context(errors_are_violations(site.history))
        site.fleet.join("default", slots=SLOTS)
        for number in range(plan.tasks):
            site.task(f"well {number}", "* * * * *")
        for script in scripts(site):
            site.play(script)
        while site.fleet.number < plan.occurrences and not is_enough(site):
            until = site.later(5)
            site.run_until(
                lambda until=until: world.now >= until or site.fleet.number >= plan.occurrences
            )
        _come_to_rest(site)
        verdict = Verdict(site.injections.all)
        verdict.violations += [one for one in site.history.violations if EXPECTED not in one]
        return site, verdict


def _come_to_rest(site: Site) -> None:
    """Let no more problems begin, and wait until all are over and told."""
    site.is_closed = True
    latest = site.world.now + LONGEST_END
    site.run_until(lambda: not site.injections.open or site.world.now > latest)
    quiet_at = site.later(REST)
    site.run_until(lambda: site.world.now > quiet_at and not site.injections.open)
