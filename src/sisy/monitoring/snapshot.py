"""The current state of a site, in three statements, however many tasks and runs there are."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from sisy import conf
from sisy.models import Role
from sisy.models.process import LONGEST_LEASE
from sisy.monitoring import counting
from sisy.monitoring.counts import Counts
from sisy.store.gauges import Fact, read_state, ready_in

Queue = tuple[str, str]
"""The engine, empty for Sisy's own workers, and the name of a queue."""


@dataclass(slots=True, kw_only=True)
class QueueState:
    """The runs and the workers of a queue.

    Attributes:
        ready: the runs that a worker could start; at most `MAX_COUNTED` for each priority.
        oldest: since when the oldest of them has been ready.
        slots: the slots of the workers that serve it and start runs.
    """

    ready: int = 0
    oldest: datetime | None = None
    running: int = 0
    slots: int = 0
    is_paused: bool = False


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """The state of a site at a moment, and what its processes have counted.

    Attributes:
        processes: how many processes of each role are alive.
        slots: the slots of all workers that start runs.
        expired: how many processes have an expired lease and were not removed yet.
        renewed_at: when a process of a role last renewed its lease.
        due_since: since when the longest overdue task has been due; None if all are planned.
        outbox: how many messages wait or could not be sent, and since when.
        alerts: how many alerts of each kind are open.
    """

    now: datetime
    queues: dict[Queue, QueueState]
    processes: dict[str, int]
    slots: int = 0
    expired: int = 0
    renewed_at: dict[str, datetime] = field(default_factory=dict)
    due_since: datetime | None = None
    outbox: dict[str, tuple[int, datetime | None]] = field(default_factory=dict)
    alerts: dict[str, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    @classmethod
    def at(cls, using: str, now: datetime) -> Self:
        """Read the state of a site at ``now``."""
        engines = ["", *sorted(conf.get_settings().aliases)]
        facts: defaultdict[str, list[Fact]] = defaultdict(list)
        for fact in read_state(using, now, engines):
            facts[fact.kind].append(fact)
        made = cls(
            now=now,
            queues=defaultdict(QueueState),
            processes=dict.fromkeys(Role.values, 0),
            counts=counting.read(using),
        )
        made.note_queues(using, facts["level"])
        for fact in facts["running"]:
            made.queues[fact.group, fact.name].running += fact.number
        for fact in facts["process"]:
            made.note_process(fact)
        for fact in facts["paused"]:
            made.queues["", fact.name].is_paused = True
        made.due_since = min((fact.at for fact in facts["due"] if fact.at), default=None)
        made.outbox = {fact.group: (fact.number, fact.at) for fact in facts["outbox"]}
        made.alerts = {fact.group: fact.number for fact in facts["alert"]}
        return made

    def note_queues(self, using: str, levels: Sequence[Fact]) -> None:
        """Note the runs that are ready, and count them in one statement."""
        ready = [level for level in levels if level.at is not None and level.at <= self.now]
        for level in ready:
            queue = self.queues[level.group, level.name]
            queue.oldest = min(filter(None, (queue.oldest, level.at)))
        for engine, name, number in ready_in(using, ready, self.now):
            self.queues[engine, name].ready += number

    def note_process(self, fact: Fact) -> None:
        """Note a process, and the slots with which it serves its queues."""
        lease_until, role, slots = fact.at, fact.group, fact.number
        # One that ends later than any lease was taken before the clock was set back.
        if lease_until is None or not self.now <= lease_until <= self.now + LONGEST_LEASE:
            self.expired += 1
            return
        self.processes[role] = self.processes.get(role, 0) + 1
        renewed_at = lease_until - conf.get_settings().lease
        self.renewed_at[role] = max(renewed_at, self.renewed_at.get(role, renewed_at))
        if role != Role.WORKER:
            return
        self.slots += slots
        for name in json.loads(fact.name):
            self.queues["", name].slots += slots

    def age(self, moment: datetime | None) -> float:
        """Return the seconds since ``moment``; 0 if there was none."""
        return 0.0 if moment is None else max(timedelta(0), self.now - moment).total_seconds()
