"""The processes of the world: each step is the product's own code."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sisy import clock, conf
from sisy.exceptions import LeaseLost
from sisy.execution import Outcome
from sisy.heartbeat import Heartbeat
from sisy.lifecycle.release import release_running
from sisy.models import Process, Run, RunState
from sisy.models import Role as ProcessRole
from sisy.models.lease import Lease
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.simulation.early import Held
from tests.simulation.history import Execution
from tests.simulation.players import Player

if TYPE_CHECKING:
    from tests.simulation.site import Site

GRACE = 30.0
STATES = {
    "done": RunState.SUCCEEDED,
    "failed": RunState.FAILED,
    "cancelled": RunState.CANCELLED,
}
RETRY_A_FAILED_STEP = 0.5  # seconds, as a loop does


class Role:
    """A process that comes and goes; its player stays."""

    def __init__(self, site: "Site", name: str, skew: timedelta) -> None:
        self.site, self.world, self.name = site, site.world, name
        self.player = Player(site.world, name, skew)
        self.is_up = False
        self._is_woken = self._is_wanted = False

    @property
    def is_able(self) -> bool:
        """Whether it would act if it were woken."""
        until = self.player.frozen_until
        return self.is_up and (until is None or until <= self.world.now)

    @property
    def process(self) -> Process | None:
        """Its row, as it knows it."""
        raise NotImplementedError

    def start(self) -> None:
        """Come up, unless it is up or not quite dead yet."""
        if self.is_up or self.player.is_busy:
            return
        self.is_up, self._is_wanted, self.player.frozen_until = True, False, None
        self.begin_anew()
        self.wake(0)

    def wake(self, seconds: float) -> None:
        """Take a step soon."""
        if self.is_up and not self._is_woken:
            self._is_woken = True
            self.world.after(seconds, self._act)

    def crash(self) -> None:
        """Die here and now."""
        if self.is_up:
            self.is_up = False
            self.site.history.count("crashes")
            self.player.kill()
            self.is_gone()

    def freeze(self, seconds: float) -> None:
        """Stand still for a while, and know nothing of it."""
        if self.is_able:
            self.site.history.count("freezes")
            if self.player.is_busy:
                self.player.freeze_for = timedelta(seconds=seconds)
            else:
                self.player.frozen_until = self.world.now + timedelta(seconds=seconds)

    def begin_anew(self) -> None:
        """Forget what the process before it knew."""

    def is_gone(self) -> None:
        """Note what ended with the process."""

    def step(self) -> Any:
        """Do what the role does."""
        raise NotImplementedError

    def has_done(self, result: Any) -> None:
        """Go on after a step."""

    def take(self, step: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.player.begin(step, partial(self._step_ended, then))

    def _act(self) -> None:
        self._is_woken = False
        if not self.is_up:
            return
        if self.player.is_busy:
            self._is_wanted = True
        else:
            self.take(self.step, self.has_done)

    def _step_ended(self, then: Callable[[Any], None], how: str, result: Any) -> None:
        self.site.is_dirty = True
        if not self.is_up:
            return
        if how == "killed":
            self.crash()
        elif how == "failed":
            self.site.history.wrong(f"{self.name} failed: {result!r}")
            self.wake(RETRY_A_FAILED_STEP)
        else:
            then(result)
        if self._is_wanted:
            self._is_wanted = False
            self.wake(0)


class SimulatedHeartbeat(Role):
    """Makes the passes of a heartbeat."""

    heartbeat: Heartbeat

    @property
    def process(self) -> Process | None:
        return self.heartbeat._lease._process

    def begin_anew(self) -> None:
        self.heartbeat = Heartbeat("default")

    def step(self) -> Any:
        begun = self.world.now
        made = self.heartbeat._pass()
        return begun, made.tick, made.queued

    def has_done(self, result: Any) -> None:
        begun, made, queued = result
        self.site.history.passes.append((begun, self.world.now))
        self.site.history.has_retired_in_time()
        if made is not None and (made.planned or made.missed or made.rescued or made.deleted):
            self.site.something_happened()
        if queued:
            self.site.ring()

    def stop(self) -> None:
        """Sign off, as by TERM."""
        if self.is_able and not self.player.is_busy:
            self.take(self._leave, self._has_left)

    def _leave(self) -> None:
        if self.process is not None:
            self.process.leave()

    def _has_left(self, result: None) -> None:
        self.is_up = False


class SimulatedWorker(Role):
    """Claims, takes time over what it has claimed, and records how that ended."""

    slots = 4

    @property
    def process(self) -> Process | None:
        return self.lease._process

    def begin_anew(self) -> None:
        self.queues = conf.DEFAULT_QUEUES
        self.lease = Lease(ProcessRole.WORKER, "default", queues=self.queues, slots=self.slots)
        self.in_hand: list[Execution] = []
        self.held = Held(self, self._begin)
        self.ended: list[tuple[Execution, Outcome]] = []
        self._renew_at = 0.0  # by the steady clock
        self._is_stopping = self._is_leaving = False
        self._was_frozen_at: datetime | None = None

    def is_gone(self) -> None:
        for execution in self.in_hand:
            self.site.history.ends(execution, "handed back" if self._is_leaving else "cut")
        self.in_hand, self.ended = [], []
        self.held.lose()

    @property
    def free(self) -> int:
        taken = len(self.in_hand) + len(self.ended) + len(self.held)
        return 0 if self._is_stopping else self.slots - taken

    def step(self) -> list[Run]:
        if self._renew_at <= clock.steady():
            self.lease.renew()
            self._renew_at = clock.steady() + conf.get_settings().lease.total_seconds() / 4
        self._record()
        self.held.release()
        self._asked = self._look_for_requests()
        if self.free <= 0:
            return []
        try:
            return self._claim(self.lease.process())
        except LeaseLost:
            return self._claim(self.lease.renew())

    def _claim(self, process: Process) -> list[Run]:
        runs = claim(process, self.queues, self.free, clock.now("default"))
        if left := self.free - len(runs):
            runs += self.held.claim(process, self.queues, left)
        return runs

    def _look_for_requests(self) -> list[int]:
        runs = [*(execution.run for execution in self.in_hand), *self.held.runs]
        asked = (
            Run.objects.held(runs).exclude(cancel_requested_at=None)
            if runs
            else Run.objects.none()
        )
        return list(asked.values_list("pk", flat=True))

    def _record(self) -> None:
        while self.ended:
            ended = list(self.ended)
            record("default", [(one.run, how) for one, how in ended], clock.now("default"))
            for execution, _ in ended:
                self.site.history.is_recorded(execution.run)
            del self.ended[: len(ended)]
            self.site.something_happened()

    def has_done(self, runs: list[Run]) -> None:
        for execution in self.in_hand:
            if execution.run.pk in self._asked and execution.may_be_cancelled:
                execution.may_be_cancelled = False
                self.world.after(
                    self.world.random.uniform(0, 5), partial(self._is_over, execution, True)
                )
        if asked := [run for run in self.held.runs if run.pk in self._asked]:
            self.held.withdraw(asked)
            self.wake(0)
        for run in runs:
            self.held.hold(run)
        if runs:
            self.site.something_happened()
        if runs and not self.free:
            self.site.ring()  # it is full, and more may be queued

    def _begin(self, run: Run) -> None:
        execution = self.site.history.begins(run, self.name)
        self.in_hand.append(execution)
        self.world.after(self.site.duration_of(run), partial(self._is_over, execution))

    def _is_over(self, execution: Execution, by_request: bool = False) -> None:
        if execution not in self.in_hand or self._is_leaving:
            return  # what ends while its worker signs off is handed over, and done once more
        if not self.is_able:
            self.world.at(self.player.frozen_until, partial(self._is_over, execution, by_request))
            return
        self.in_hand.remove(execution)
        end = "cancelled" if by_request else "failed" if self.site.fails(execution.run) else "done"
        self.site.history.ends(execution, end)
        outcome = Outcome(
            state=STATES[end],
            started_at=execution.begun,
            finished_at=self.world.now,
            reason="" if end == "done" else "it was drawn so",
            result=execution.token,
        )
        self.ended.append((execution, outcome))
        self.wake(0)

    def stop(self) -> None:
        """Claim no more, let runs go on for a while, hand back the rest, and sign off.

        What was not called is released at once.
        """
        if self.is_able and not self._is_stopping:
            self._is_stopping = True
            self.held.withdraw(self.held.runs)
            self.wake(0)
            self.site.history.count("stops")
            lease = self.lease
            self.world.after(GRACE if self.in_hand else 0, partial(self._leave_if_idle, lease))

    def _leave_if_idle(self, lease: Lease) -> None:
        if lease is not self.lease or not self.is_up:
            return
        if self.player.is_busy or not self.is_able:
            self.world.after(1, partial(self._leave_if_idle, lease))
        else:
            self._is_leaving = True
            self.take(self._leave, self._has_left)

    def _leave(self) -> None:
        self._record()
        self.held.withdraw(self.held.runs)
        self.held.release()
        runs = [execution.run for execution in self.in_hand]
        if runs:
            release_running("default", runs, "Its worker stopped", clock.now("default"))
        self.lease.end()

    def _has_left(self, result: None) -> None:
        for execution in self.in_hand:
            self.site.history.ends(execution, "handed back")
        self.in_hand = []
        self.is_up = bool(self.ended)  # something ended while it signed off: that is lost
        if self.ended:
            self.crash()
