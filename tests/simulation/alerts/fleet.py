"""The workers: each run ends when, and as, its label's behaviour says."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sisy import conf
from sisy.execution import Outcome
from sisy.models import Process, QueuedRun, Role, Run, RunState
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.simulation.world import World

SLOTS = 1000  # slots of the worker that runs everything without a queue of its own


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """What a run does.

    Attributes:
        seconds: how long it takes; None if it hangs until it is ended.
    """

    state: RunState = RunState.SUCCEEDED
    seconds: float | None = 1.0
    columns: dict[str, Any] = field(default_factory=dict)


WELL = Behaviour()
FAILS = Behaviour(state=RunState.FAILED, columns={"error_class": "KeyError"})


@dataclass(slots=True, kw_only=True, eq=False)
class Going:
    """A run that is running.

    Attributes:
        ends_at: None until it is known.
    """

    run: Run
    worker: str
    behaviour: Behaviour
    ends_at: datetime | None


class Fleet:
    """All workers of the site.

    Attributes:
        behaviours: by label; other runs succeed within a second.
        ended: by label, the states of ended runs and when they were recorded.
        number: how many runs have ended.
    """

    def __init__(self, world: World) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.ended: dict[str, list[tuple[RunState, datetime]]] = defaultdict(list)
        self.number = 0
        self.going: list[Going] = []
        self._world = world
        self._workers: dict[str, Process] = {}

    def join(self, name: str, *, slots: int = 1) -> None:
        """Start a worker that serves the queue of its name."""
        self._workers[name] = Process.join(
            Role.WORKER,
            using="default",
            now=self._world.now,
            lease=conf.get_settings().lease,
            queues=(name,),
            slots=slots,
        )

    def kill(self, name: str) -> None:
        """Let a worker and its runs vanish."""
        del self._workers[name]
        self.going = [one for one in self.going if one.worker != name]

    def leave(self, name: str) -> None:
        """Stop a worker that has no runs."""
        self._workers.pop(name).leave(now=self._world.now)

    def end(self, label: str, behaviour: Behaviour) -> None:
        """Let running runs end now, and in which way."""
        for one in self.going:
            if one.run.label == label:
                one.behaviour, one.ends_at = behaviour, self._world.now

    def running(self, label: str) -> list[Run]:
        """Return the running runs with a label."""
        return [one.run for one in self.going if one.run.label == label]

    def work(self) -> None:
        """Renew the leases, record what has ended, and start what is queued."""
        now = self._world.now
        pks = [process.pk for process in self._workers.values()]
        Process.objects.filter(pk__in=pks).update(lease_until=now + conf.get_settings().lease)
        self._record(now)
        queues = QueuedRun.objects.filter(ready_at__lte=now).order_by()
        for queue in set(queues.values_list("queue", flat=True).distinct()):
            if (process := self._workers.get(queue)) is not None:
                busy = sum(one.worker == queue for one in self.going)
                for run in claim(process, [queue], process.slots - busy, now):
                    self._start(run, queue, now)

    def _start(self, run: Run, worker: str, now: datetime) -> None:
        how = self.behaviours.get(run.label, WELL)
        ends_at = None if how.seconds is None else now + timedelta(seconds=how.seconds)
        self.going.append(Going(run=run, worker=worker, behaviour=how, ends_at=ends_at))

    def _record(self, now: datetime) -> None:
        ended = [one for one in self.going if one.ends_at is not None and one.ends_at <= now]
        if not ended:
            return
        self.going = [one for one in self.going if one not in ended]
        record("default", [(one.run, self._outcome(one, now)) for one in ended], now)
        self.number += len(ended)
        for one in ended:
            self.ended[one.run.label].append((one.behaviour.state, now))

    @staticmethod
    def _outcome(one: Going, now: datetime) -> Outcome:
        return Outcome(
            state=one.behaviour.state,
            started_at=one.run.started_at,
            finished_at=now,
            **one.behaviour.columns,
        )
