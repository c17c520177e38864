"""One simulation from its beginning to its verdict."""

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import partial
from unittest import mock

from django.test import override_settings

from sisy import clock, conf, signals
from sisy.models import Run
from sisy.monitoring import counting
from sisy.worker import early_claim
from tests.simulation import cast
from tests.simulation.databases import new_database
from tests.simulation.early import LoopOfWorld
from tests.simulation.history import History
from tests.simulation.nemesis import Nemesis
from tests.simulation.oracle import Oracle
from tests.simulation.site import Site
from tests.simulation.user import User
from tests.simulation.world import World, WorldClock, utc
from tests.support.moments import DAY, MINUTE

NEW_YEAR = utc(cast.YEAR, 1, 1)
READ_EVERY = 3 * DAY
SETTINGS = {
    "SISY_HEARTBEAT_FREQUENCY": 3600,
    "SISY_HISTORY_DAYS": 14,
    "CHANNEL_LAYERS": {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to simulate."""

    seed: int
    days: float
    start: datetime = NEW_YEAR
    heartbeats: int = 3
    workers: int = 4
    harm_every: float = 24.0
    deed_every: float = 24.0
    restless: float = 0.02
    steps_clock: bool = False
    is_crowded: bool = False
    is_dense: bool = False

    @property
    def schedules(self) -> tuple[str, ...]:
        """What the user chooses from."""
        if self.is_dense:
            return cast.DENSE_FIXED if self.steps_clock else cast.DENSE
        if self.is_crowded:
            return cast.CROWDED_FIXED if self.steps_clock else cast.CROWDED
        return cast.SCHEDULES

    @property
    def command(self) -> str:
        """Return how to carry it out by hand."""
        given = [f"--seed {self.seed} --days {self.days:g}"]
        for field in fields(self)[2:]:
            value, name = getattr(self, field.name), field.name.replace("_", "-")
            if value is True:
                given.append(f"--{name}")
            elif value != field.default:
                given.append(f"--{name} {value:%F}" if name == "start" else f"--{name} {value:g}")
        return f"python -m tests.simulation {' '.join(given)}"


def simulate(plan: Plan, name: str = "sisy_simulation", clock_of=WorldClock) -> History:
    """Carry it out, and return what happened; its ``violations`` should be none.

    Args:
        name: of the database, and of nobody else's.
        clock_of: makes the clock that Sisy reads from the world.
    """
    with ExitStack() as stack:
        stack.enter_context(override_settings(**SETTINGS))
        world = enter_world(stack, plan.seed, plan.start, plan.restless, name, clock_of)
        site = Site(world, plan.heartbeats, plan.workers)
        stack.callback(site.close)
        user = User(
            site,
            plan.deed_every,
            plan.schedules,
            cast.EVERY_FEW_SECONDS_FIXED if plan.steps_clock else cast.EVERY_FEW_SECONDS,
            begins=5.0 if plan.is_dense else 600.0,
        )
        stack.callback(user.player.close)
        stack.callback(user.player.kill)
        stack.enter_context(errors_are_violations(site.history))
        stack.enter_context(_told_of_runs(site.history))
        _live(plan, site, user)
        return site.history


def enter_world(
    stack: ExitStack,
    seed: int,
    start: datetime,
    restless: float,
    name: str,
    clock_of=WorldClock,
) -> World:
    """Return a new world, whose time and database are Sisy's until the stack is closed."""
    database = stack.enter_context(new_database(name))
    world = stack.enter_context(World(seed, start, database, restless))
    stack.enter_context(clock.use(clock_of(world)))
    # What an earlier simulation in this process has counted.
    stack.enter_context(mock.patch.object(counting, "_counts", {}))
    stack.enter_context(mock.patch.object(counting, "_with_lease", set()))
    stack.enter_context(mock.patch.object(clock, "steady", world.steady, create=True))
    stack.enter_context(mock.patch.object(early_claim, "asyncio", LoopOfWorld(world)))
    return world


def _live(plan: Plan, site: Site, user: User) -> None:
    world, end = site.world, plan.start + plan.days * DAY
    settings = conf.get_settings()
    oracle = Oracle(site.history, settings.missed_limit, settings.lost_limit)
    site.drawn_wants = partial(cast.wants, world.random)
    for role in site.roles:
        role.start()
    if plan.is_dense:
        cast.fill(user, world.random, plan.schedules)
    elif plan.is_crowded:
        cast.crowd(user, world.random, plan.schedules)
    else:
        cast.enter(user, world.random, plan.start, end)
    nemesis = Nemesis(site, plan.harm_every, plan.steps_clock)
    while world.now < end:
        site.run_until(min(end, world.now + READ_EVERY))
        oracle.read()
    nemesis.stop()
    user.stop()
    _come_to_rest(site, user, MINUTE / 6 if plan.is_dense else 20 * MINUTE)
    oracle.judge()


def _come_to_rest(site: Site, user: User, slowly: timedelta) -> None:
    """Let all processes come up, plan what is due, and end what was begun."""
    world = site.world
    for role in site.roles:
        role.player.frozen_until = None
    site.run_until(world.now + slowly)
    for role in site.roles:
        role.start()
    site.wake_some()
    site.run_until(world.now + slowly / 10)
    user.pauses_all()
    left = None
    # A task may have buffered a hundred runs that take many minutes each. While fewer and fewer
    # are left, they still end; if none ends in half a day, they are stuck.
    while not _is_at_rest(site, user) and left != (live := Run.objects.live().count()):
        left = live
        site.run_until(world.now + DAY / 2, or_until=lambda: _is_at_rest(site, user))


def _is_at_rest(site: Site, user: User) -> bool:
    return not (
        user.is_busy
        or any(role.player.is_busy for role in site.roles)
        or Run.objects.live().exists()
    )


@contextmanager
def _told_of_runs(history: History):
    """Let the history know what is planned and what is withdrawn."""

    def planned(sender, run: Run, **kwargs) -> None:
        history.is_planned(run)

    def withdrawn(sender, run: Run, **kwargs) -> None:
        history.is_withdrawn(run)

    signals.run_planned.connect(planned)
    signals.run_withdrawn.connect(withdrawn)
    try:
        yield
    finally:
        signals.run_planned.disconnect(planned)
        signals.run_withdrawn.disconnect(withdrawn)


@contextmanager
def errors_are_violations(history: History):
    """Let what Sisy logs as an error count; lost leases and the like are daily bread here."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not hasattr(record, "run"):  # that a run failed is daily bread, too
                history.wrong(f"logged: {record.getMessage()}\n{record.exc_text or ''}")

    logger, handler = logging.getLogger("sisy"), Handler(logging.ERROR)
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
