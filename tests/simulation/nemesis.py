"""Who breaks things: crashes, freezes, stops and outages, mostly when something is due."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sisy.heartbeat.clock_rollback import MAX_SMALL_STEP
from sisy.models import Task
from tests.simulation.roles import Role
from tests.simulation.site import Site

AIMS = ((-1.8, 0), (-1.0, 0), (-0.3, 0.1), (-0.2, 1), (0, 4))  # seconds from what is due
LONGEST_AIM = timedelta(hours=12)
STATEMENTS = 14  # of a step, before one of which a process may be killed
CLOCK_STEPS = (-3.0, -1.0, 1.0, 3.0)  # hours
SHORT_STEPS = (-600.0, -20.0, -1.5, 1.5, 20.0)  # seconds


class Nemesis:
    """Does harm every few hours.

    Args:
        every: the mean time between two strikes, in hours.
        steps_clock: whether the database's clock is among what is harmed.
    """

    def __init__(self, site: Site, every: float, steps_clock: bool) -> None:
        self._site, self._world = site, site.world
        self._every, self._steps_clock = every, steps_clock
        self._is_over = False
        self._furthest = self._world.now  # that the database's clock has ever shown
        self._aim_anew()

    def stop(self) -> None:
        """Do no more harm."""
        self._is_over = True

    def _aim_anew(self) -> None:
        self._world.after(self._world.random.expovariate(1 / (self._every * 3600)), self._aim)

    def _aim(self) -> None:
        self._world.at(aimed_at_what_is_due(self._site), self._strike)

    def _strike(self) -> None:
        if self._is_over:
            return
        draw = self._world.random
        harm = draw.choices(
            (
                self._crash,
                self._crash_in_a_step,
                self._freeze,
                self._freeze_in_a_step,
                self._stop,
                self._outage,
                self._set_hosts_clock,
                self._set_databases_clock,
            ),
            (3, 6, 4, 4, 3, 0.4, 2, 1 if self._steps_clock else 0),
        )[0]
        harm()
        self._aim_anew()

    def _victim(self) -> Role:
        return self._world.random.choice(self._site.roles)

    def _crash(self) -> None:
        victim = self._victim()
        victim.crash()
        self._restart(victim, self._world.random.uniform(0.5, 300))

    def _crash_in_a_step(self) -> None:
        victim = self._victim()
        if victim.is_up:
            victim.player.statements_to_live = self._world.random.randrange(STATEMENTS)
            victim.wake(0)
            self._restart(victim, self._world.random.uniform(5, 120))

    def _freeze(self) -> None:
        draw = self._world.random
        victim = draw.choice(self._site.workers) if draw.random() < 0.6 else self._victim()
        victim.freeze(draw.choice((2.0, 20.0, 60.0, 100.0, 200.0, 3000.0)))

    def _freeze_in_a_step(self) -> None:
        """Freeze a process between two statements, for as long as what is planned ahead waits."""
        victim, draw = self._victim(), self._world.random
        if victim.is_able and not victim.player.is_busy:
            victim.player.freeze_after = draw.randrange(STATEMENTS)
            victim.player.freeze_for = timedelta(seconds=draw.choice((0.3, 1.0, 2.0, 5.0, 60.0)))
            victim.wake(0)

    def _stop(self) -> None:
        victim = self._victim()
        victim.stop()
        self._restart(victim, self._world.random.uniform(1, 90))

    def _outage(self) -> None:
        """Let all heartbeats, or all workers, be down for minutes or hours."""
        site, draw = self._site, self._world.random
        site.history.count("outages")
        length = draw.choice((60.0, 900.0, 7200.0, 32_000.0))
        for role in draw.choice((site.heartbeats, site.workers, site.roles)):
            draw.choice((role.crash, role.stop))()
            self._restart(role, length + draw.uniform(0, 5))

    def _set_hosts_clock(self) -> None:
        """Set the clock of somebody's host, which must not matter."""
        self._site.history.count("clocks set on hosts")
        self._victim().player.skew = timedelta(hours=self._world.random.choice(CLOCK_STEPS))

    def _set_databases_clock(self) -> None:
        for story in self._site.history.stories.values():
            story.clock_is_set(self._world.now)
        self._site.history.count("clock steps")
        long = [timedelta(hours=hours) for hours in CLOCK_STEPS]
        short = [timedelta(seconds=seconds) for seconds in SHORT_STEPS]
        step = self._world.random.choice((*long, *short))
        self._furthest = max(self._furthest, self._world.now)
        # Several small steps back are a large one together. The oracle knows only small ones.
        if self._furthest - self._world.now - step > MAX_SMALL_STEP:
            step = -step
        if step < timedelta(0):
            self._site.history.clock_is_set_back()
        self._world.set_clock(step)
        self._site.is_dirty = True
        self._site.wake_some()

    def _restart(self, role: Role, seconds: float) -> None:
        def start() -> None:
            if role.player.is_busy:
                self._world.after(1, start)
            else:
                role.start()
                self._site.is_dirty = True

        self._world.after(seconds, start)


def aimed_at_what_is_due(site: Site, tasks: Collection[int] | None = None) -> datetime:
    """Return a moment close to the next due one, if that is not far; else now.

    Args:
        tasks: the keys of the tasks that matter; by default, all.
    """
    draw = site.world.random
    due = Task.objects.active().exclude(next_run=None).order_by("next_run")
    if tasks is not None:
        due = due.filter(pk__in=tasks)
    upcoming = due.values_list("next_run", flat=True).first()
    if upcoming is None or upcoming - site.world.now > LONGEST_AIM or draw.random() < 0.2:
        return site.world.now
    low, high = draw.choice(AIMS)
    return upcoming + timedelta(seconds=draw.uniform(low, high))
