"""What happened in the world, as it saw it itself: the ledger is compared with this."""

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sisy.models import Missed, OnLost, Origin, Overlap, Process, Run, Task, TaskState
from tests.simulation.world import READING_ERROR, World

FORBIDDING = {
    Overlap.SKIP,
    Overlap.BUFFER_ONE,
    Overlap.BUFFER_ALL,
    Overlap.CANCEL_OTHER,
    Overlap.TERMINATE_OTHER,
}
"""The policies under which two runs of a task never go on at a time (design, section 7)."""

CANCELLING = {Overlap.CANCEL_OTHER, Overlap.TERMINATE_OTHER}

OBEDIENT = 0.7  # how many functions end when they are asked to

TOLERANCE = timedelta(seconds=2 * READING_ERROR + 0.001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When a task is due, as its owner said it."""

    schedule: str
    timezone: str
    start: datetime | None = None
    end: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Era:
    """From when on (at some moment from ``begun`` to ``settled``) what held: times, if any, and a
    priority.

    The clock may have been further than it was in the end: up to ``seen``, before it was set.
    ``timeline`` is how often it had been set back.
    """

    begun: datetime
    settled: datetime
    times: Times | None
    priority: int = 0
    seen: datetime | None = None
    timeline: int = 0


@dataclass(slots=True, kw_only=True)
class Story:
    """All that was done to one task, and what it wants."""

    label: str
    pk: int
    times: Times
    priority: int = 0
    missed: str = Missed.LATEST
    missed_window: timedelta | None = None
    overlap: str = Overlap.SKIP
    on_lost: str = OnLost.RERUN
    max_attempts: int = 1
    iterations: int | None = None
    takes: tuple[float, float] = (0.05, 3.0)
    fails: float = 0.0
    is_edited: bool = False
    is_paused: bool = False
    is_over: bool = False
    at_once: datetime | None = None
    asked_for: int = 0
    timeline: int = 0
    queued_cancelled: bool = False
    eras: list[Era] = field(default_factory=list)
    recounts: list[datetime] = field(default_factory=list)
    """When its iterations were changed."""

    def changes(self, begun: datetime, settled: datetime, times: Times | None) -> None:
        """Record that from now on it is due at other times, or never, or has another priority."""
        era = Era(
            begun=begun,
            settled=settled,
            times=times,
            priority=self.priority,
            timeline=self.timeline,
        )
        self.eras.append(era)

    def clock_is_set(self, before: datetime) -> None:
        """Note what the clock showed before it was set."""
        if self.eras:
            self.eras[-1].seen = max(before, self.eras[-1].seen or before)

    def ends(self, begun: datetime, settled: datetime) -> None:
        self.is_over = True
        self.changes(begun, settled, None)


@dataclass(slots=True, kw_only=True, eq=False)
class Execution:
    """One call of a task function."""

    run: Run
    attempt: int
    worker: str
    process: int
    begun: datetime
    ended: datetime | None = None
    end: str = ""
    may_be_cancelled: bool = True

    @property
    def goes_on(self) -> bool:
        return self.ended is None

    @property
    def token(self) -> list[Any]:
        """What only this execution returns."""
        return [self.worker, self.run.pk, self.attempt]


class History:
    """Keeps what happened, and says at once what must not."""

    def __init__(self, world: World) -> None:
        self.stories: dict[str, Story] = {}
        self.executions: dict[int, list[Execution]] = {}
        self.passes: list[tuple[datetime, datetime]] = []
        self.violations: list[str] = []
        self.once: int = 0
        self.crashes = 0
        self.withdrawn: set[int] = set()
        self.planned_at: dict[int, datetime] = {}
        self.recorded_at: dict[int, datetime] = {}
        self._last_before_steps: list[int] = []
        self._live_at_steps: set[int] = set()
        self.counts: dict[str, int] = {}
        self._world = world
        self._going: dict[str, list[Execution]] = {}

    @property
    def furthest(self) -> datetime:
        """The latest moment that the clock showed before it was set back."""
        return self._world.furthest

    def wrong(self, what: str) -> None:
        """Record that a promise was broken."""
        self.violations.append(f"{self._world.now:%Y-%m-%d %H:%M:%S.%f} {what}")

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def clock_is_set_back(self) -> None:
        """Note which runs there are: moments before and after this cannot be compared."""
        last = Run.objects.order_by("-pk").values_list("pk", flat=True).first()
        self._last_before_steps.append(last or 0)
        self._live_at_steps.update(Run.objects.live().values_list("pk", flat=True))
        for story in self.stories.values():
            story.timeline = self.timeline

    @property
    def timeline(self) -> int:
        """How often the clock was set back."""
        return len(self._last_before_steps)

    def planned_in(self, pk: int) -> int:
        """Return how often the clock was set back before a run was planned."""
        return bisect_left(self._last_before_steps, pk)

    def timeline_of(self, pk: int) -> int | None:
        """Return how often the clock was set back before a run; None if it was live meanwhile.

        Moments in the ledger tell an order only for runs of the same timeline.
        """
        return None if pk in self._live_at_steps else self.planned_in(pk)

    def is_planned(self, run: Run) -> None:
        """Record that a run was planned, or submitted."""
        # A heartbeat may have been frozen between its reading of the clock and its transaction.
        self.planned_at[run.pk] = self._world.now
        if run.due_at is not None and run.planned_at < run.due_at:
            self.count("planned ahead")

    def is_recorded(self, run: Run) -> None:
        """Record that a worker has recorded how a run ended."""
        self.recorded_at[run.pk] = self._world.now

    def is_withdrawn(self, run: Run) -> None:
        """Record that a run which was planned ahead is gone."""
        self.count("withdrawn")
        self.withdrawn.add(run.pk)
        if run.pk in self.executions:
            self.wrong(f"{run} was withdrawn, and had been carried out")

    def has_retired_in_time(self) -> None:
        """Check that no task retires before its last occurrence falls due."""
        reached = max(self._world.now, self._world.furthest) + TOLERANCE
        early = Task.objects.filter(state=TaskState.RETIRED, last_run__gt=reached)
        for label, last in early.values_list("label", "last_run"):
            self.wrong(f"{label} has retired before its last occurrence, {last}")

    def is_released(self, run: Run, attempt: int, ready_at: datetime) -> None:
        """Note how a run that was started, and not called, is queued again."""
        self.count("released before their call")
        if attempt >= run.attempt:
            self.wrong(f"{run} was not called, and used up an attempt")
        if ready_at < run.ready_at and not self._world.furthest > run.ready_at:
            self.wrong(f"{run} was not called, and is ready before its moment: {ready_at}")

    def begins(self, run: Run, worker: str) -> Execution:
        """Record that a worker begins to carry out a run."""
        execution = Execution(
            run=run,
            attempt=run.attempt,
            worker=worker,
            process=run.process_id,
            begun=self._world.now,
            may_be_cancelled=self._world.random.random() < OBEDIENT,
        )
        story = self.stories.get(run.label)
        if run.started_at is not None and run.started_at == run.ready_at:
            self.count("started ahead")
        self._is_not_early(run)
        self._is_no_repetition(execution, story)
        if story is not None and story.overlap in FORBIDDING:
            self._is_alone(execution)
        self.executions.setdefault(run.pk, []).append(execution)
        self._going.setdefault(run.label, []).append(execution)
        return execution

    def ends(self, execution: Execution, end: str, moment: datetime | None = None) -> None:
        """Note how an execution ended: ``done``, ``failed``, ``cancelled``, ``cut`` or
        ``handed back``."""
        execution.ended, execution.end = moment or self._world.now, end
        self._going[execution.run.label].remove(execution)

    def _is_not_early(self, run: Run) -> None:
        wanted = max(run.ready_at, run.due_at or run.ready_at)
        # What fell due before the clock was set back may start before it falls due again.
        reached = max(self._world.now, self._world.furthest)
        if reached < wanted:
            self.wrong(f"{run} started before its moment, {wanted}")

    def _is_no_repetition(self, execution: Execution, story: Story | None) -> None:
        before = self.executions.get(execution.run.pk, [])
        if any(one.attempt == execution.attempt and one.end != "handed back" for one in before):
            self.wrong(f"{execution.run}: attempt {execution.attempt} was carried out twice")
        at_most_once = story is not None and story.on_lost == OnLost.FAIL
        if at_most_once and any(one.end != "failed" for one in before):
            ends = [one.end or "goes on" for one in before]
            self.wrong(f"{execution.run} runs again after {ends}, against on_lost='fail'")

    def _is_alone(self, execution: Execution) -> None:
        for other in self._going.get(execution.run.label, []):
            # Whoever lost its lease is a zombie: that one goes on nobody can help.
            if Process.objects.filter(pk=other.process).exists():
                self.wrong(f"{execution.run} runs beside {other.run}, against its overlap policy")

    def trace(self) -> list[tuple[Any, ...]]:
        """Return who carried out what, and when: equal only for equal histories."""
        return [
            (one.run.pk, one.attempt, one.worker, one.begun, one.ended, one.end)
            for executions in self.executions.values()
            for one in executions
        ]

    def summary(self) -> str:
        executed = sum(map(len, self.executions.values()))
        counts = ", ".join(f"{number} {what}" for what, number in sorted(self.counts.items()))
        return f"{executed} executions, {len(self.passes)} passes, {counts}"


__all__ = ["Era", "Execution", "History", "Origin", "Story", "Times"]
