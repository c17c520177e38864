"""What a simulated worker has started ahead of its moment, and calls when that comes.

The timers are Sisy's own, in the time of the world.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sisy import clock
from sisy.lifecycle.release import release
from sisy.models import Process, Run, RunState
from sisy.worker.early_claim import StartTimers, claim_early
from sisy.worker.low_water import LowWaterMarks
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.roles import SimulatedWorker


class Timer:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class LoopOfWorld:
    """Stands in for ``asyncio``: its timers go off in the time of the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get_running_loop(self) -> "LoopOfWorld":
        return self

    def call_later(self, seconds: float, call: Callable[..., Any], *args: Any) -> Timer:
        timer = Timer()
        self._world.after(seconds, lambda: timer.is_cancelled or call(*args))
        return timer


class Held:
    """The runs that a worker has started, and not called.

    Attributes:
        runs: those that are to be called.
        returned: those that are not, and wait to be released.
    """

    def __init__(self, worker: "SimulatedWorker", call: Callable[[Run], None]) -> None:
        self._worker = worker
        self._call = call
        self._timers = StartTimers("default", self._is_due, self._give_back)
        self.runs: list[Run] = []
        self.returned: list[Run] = []

    def __len__(self) -> int:
        return len(self.runs) + len(self.returned)

    def claim(self, process: Process, queues: list[str], free: int) -> list[Run]:
        """Claim what becomes ready within a worker's lead."""
        lead = timedelta(seconds=self._worker.world.random.uniform(0.01, 0.1))
        now, marks = clock.now("default"), LowWaterMarks("default")
        firsts = marks.renew(queues, now)
        if not any(now < first <= now + lead for first in firsts):
            return []
        return claim_early(process, queues, free, now, now + lead, frozenset(), marks)

    def hold(self, run: Run) -> None:
        """Call a run at its moment, which may be now."""
        self.runs.append(run)
        self._timers.call_at_its_moment(run)

    def withdraw(self, runs: Iterable[Run]) -> None:
        """Do not call those of these runs that were not called yet, but release them."""
        early = self._timers.withdraw([run for run in self.runs if run in list(runs)])
        self.runs = [run for run in self.runs if run not in early]
        self.returned += early

    def lose(self) -> None:
        """Forget all: the process is dead."""
        self._timers.withdraw(self.runs)
        self.runs, self.returned = [], []

    def release(self) -> None:
        """Release what was not called: it keeps its moment, and the attempt does not count."""
        runs, self.returned = self.returned, []
        if not runs:
            return
        history = self._worker.site.history
        release("default", runs, "It was not called.", clock.now("default"))
        known = {run.pk: run for run in runs}
        queued = Run.objects.filter(pk__in=known, state=RunState.QUEUED)
        for pk, attempt, ready_at in queued.values_list("pk", "attempt", "ready_at"):
            history.is_released(known[pk], attempt, ready_at)

    def _is_due(self, run: Run) -> None:
        """Call a run whose moment has come, as soon as its process goes on."""
        worker = self._worker
        if run not in self.runs:
            return
        if not worker.is_able:
            worker.world.at(worker.player.frozen_until, partial(self._is_due, run))
            return
        if worker.lease.surely_holds(run):
            self.runs.remove(run)
            self._call(run)
        else:
            self._give_back(run)

    def _give_back(self, run: Run) -> None:
        self.runs.remove(run)
        self.returned.append(run)
        self._worker.wake(0)
