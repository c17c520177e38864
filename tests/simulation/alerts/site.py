"""The site: its heartbeats, its workers, and the scripts that cause problems."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sisy.alerting.flapping import WINDOW
from sisy.models import RunState, Task, task_with_callable
from sisy.records.problems import Kind
from tests.app import jobs
from tests.simulation.alerts.fleet import WELL, Fleet
from tests.simulation.alerts.problems import Injected, Injections
from tests.simulation.history import History
from tests.simulation.roles import SimulatedHeartbeat
from tests.simulation.world import World
from tests.support.moments import MINUTE

PULSE = 3.0  # seconds between two passes of a heartbeat, and of the workers
IDLE = "0 0 1 1 *"
CALM = 11.0  # minutes without a problem, so that the next one is another problem
SKEW = 300.0

Script = Iterator[datetime | Callable[[], Any]]
"""Causes problems. It yields moments and conditions, and goes on when they come."""


class Watcher(SimulatedHeartbeat):
    """A heartbeat that makes its passes, and counts nothing."""

    def has_done(self, result: Any) -> None:
        """Do nothing: the next pass comes by itself."""


class Site:
    """Several heartbeats, over one database, that watch what scripts cause.

    Attributes:
        is_closed: whether scripts must not begin a problem.
        is_disturbed: whether heartbeats must not be harmed.
        calm_at: when heartbeats may be missing again.
    """

    def __init__(self, world: World, heartbeats: int) -> None:
        self.world = world
        self.history = History(world)
        self.is_dirty = False  # only the other simulation looks at it
        self.injections = Injections()
        self.fleet = Fleet(world)
        self.is_closed = self.is_disturbed = False
        self.calm_at = world.now
        skew = partial(world.random.uniform, -SKEW, SKEW)
        self.heartbeats = [
            Watcher(self, f"heartbeat-{n}", timedelta(seconds=skew())) for n in range(heartbeats)
        ]
        for heartbeat in self.heartbeats:
            heartbeat.start()
        world.after(0, self._pulse)

    def _pulse(self) -> None:
        for heartbeat in self.heartbeats:
            heartbeat.wake(self.world.random.uniform(0, 1))
        self.fleet.work()
        self.world.after(PULSE, self._pulse)

    def run_until(self, is_over: Callable[[], bool]) -> None:
        """Let the world go on."""
        while not is_over():
            self.world.advance()

    def play(self, script: Script) -> None:
        """Let a script go on, whenever what it waits for has come."""
        try:
            awaited = next(script)
        except StopIteration:
            return
        if callable(awaited):
            self._wait_for(awaited, script)
        else:
            self.world.at(awaited, partial(self.play, script))

    def _wait_for(self, condition: Callable[[], Any], script: Script) -> None:
        if condition():
            self.play(script)
        else:
            self.world.after(PULSE, partial(self._wait_for, condition, script))

    # What scripts use

    def later(self, low: float, high: float | None = None) -> datetime:
        """Return a moment after so many minutes."""
        return self.world.now + self.world.random.uniform(low, high or low) * MINUTE

    def calm(self) -> Iterator[datetime | Callable[[], Any]]:
        """Wait until a problem may begin."""
        yield self.later(CALM, 2 * CALM)
        yield lambda: not self.is_closed

    def task(self, label: str, schedule: str = IDLE, **fields: Any) -> Task:
        """Return a new task."""
        task = task_with_callable(
            jobs.noop, label=label, schedule=schedule, timezone="UTC", **fields
        )
        task.save()
        return task

    def begin(self, cause: str, kind: Kind, subject: str, **options: Any) -> Injected:
        """Record that a problem begins now."""
        return self.injections.begin(cause, kind, subject, self.world.now, **options)

    def end(self, problem: Injected) -> None:
        """Record that a problem is over now."""
        problem.ended = self.world.now

    def ends(self, label: str, state: RunState, times: int = 1) -> Callable[[], bool]:
        """Return a condition: so many more runs with a label have ended in a state."""
        before = len(self.fleet.ended[label])

        def is_met() -> bool:
            new = self.fleet.ended[label][before:]
            return sum(one == state for one, _ in new) >= times

        return is_met

    def work(self, call: Callable[[], Any], *labels: str) -> Script:
        """Let so many runs succeed that an earlier failure does not make the next one flapping."""
        for label in labels:
            self.fleet.behaviours[label] = WELL
        for _ in range(WINDOW):
            ends = [self.ends(label, RunState.SUCCEEDED) for label in labels]
            call()
            yield lambda ends=ends: any(has_ended() for has_ended in ends)

    def start(self, heartbeat: Watcher) -> None:
        """Start a heartbeat as soon as its process is gone."""
        if heartbeat.player.is_busy:
            self.world.after(1, partial(self.start, heartbeat))
        elif not heartbeat.is_up:
            heartbeat.start()

    def may_lose_heartbeats(self) -> bool:
        """Return whether heartbeats may be missing for minutes."""
        return not self.is_closed and not self.is_disturbed and self.world.now >= self.calm_at

    def close(self) -> None:
        """End the threads, whatever they are at."""
        for heartbeat in self.heartbeats:
            heartbeat.player.kill()
            heartbeat.player.close()
