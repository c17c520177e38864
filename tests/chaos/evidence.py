"""What the checker judges: what was asked for, what was done to the fleet, and what came of it.

All moments are seconds on the time line of `moments`.
"""

from dataclasses import dataclass, field

Span = tuple[float, float]

RECORDED_WITHIN = 2.0
"""Seconds from the end of an execution until the ledger knows of it."""

LONGEST_LEAD = 0.1
"""Seconds by which a worker may start a run, but not its function, ahead of its moment."""

DANGEROUS = 0.5
"""The part of a lease after which it may have run out: it was not renewed just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """A stretch of time in which a task has one schedule.

    Attributes:
        may: from when to when an occurrence may be planned.
        must: from when to when each one must be; the edges of ``may`` are as sharp as we know
            when an edit took effect.
        priority: of its runs.
        is_found_later: whether it began by raw SQL, which Sisy finds some time later.
    """

    schedule: str
    timezone: str
    may: Span
    must: Span
    priority: int = 0
    is_found_later: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A task under test.

    Attributes:
        key: by which the log and the ledger name it.
        first_due: an occurrence beside the schedule (``wait_for_schedule=False``).
        end_running: from where on it does not run.
        is_deleted: whether somebody has deleted it.
    """

    key: str
    overlap: str = "skip"
    on_lost: str = "rerun"
    max_attempts: int = 1
    spread: float = 0.0
    timeout: float | None = None
    iterations: int | None = None
    first_due: float | None = None
    end_running: float | None = None
    is_deleted: bool = False
    active: tuple[Active, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run that somebody asked for beside a schedule: run now, or run once.

    Attributes:
        run: its key in the ledger; None if the answer was lost with the connection.
        asked: from the call to its return.
        not_before: the moment that was asked for.
    """

    key: str
    run: int | None
    asked: Span
    not_before: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A call of a task function, as it wrote itself down.

    Attributes:
        due: None if no schedule named a moment.
        member: the process of the fleet in which, or in whose child, it went on.
        called: between which moments of the database's clock the function was called.
        end: None if it was cut off.
        outcome: ``ok``, ``raised`` or ``cancelled``.
    """

    key: str
    run: int
    due: float | None
    attempt: int
    member: int
    start: float
    called: Span
    end: float | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the ledger."""

    id: int
    key: str
    origin: str
    state: str
    task: int | None = None
    due: float | None = None
    due_until: float | None = None
    count: int = 1
    ready: float = 0.0
    planned: float = 0.0
    started: float | None = None
    finished: float | None = None
    attempt: int = 0
    priority: int = 0
    times_lost: int = 0
    blocked_by: int | None = None
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Life:
    """What was done to one process of the fleet.

    Attributes:
        started: when it was started.
        told: when it was told to end, by a signal that it can handle.
        died: from the last moment at which it may have been up, to the first at which it was not.
        by: the name of the signal that ended it.
        frozen: from STOP to CONT.
    """

    member: int
    name: str
    started: float
    told: float | None = None
    died: Span | None = None
    by: str = ""
    frozen: list[Span] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """A time in which nobody can expect the fleet to be punctual, its recovery included.

    Attributes:
        is_brief: whether it is too brief for a worker to be taken for dead.
    """

    what: str
    span: Span
    is_brief: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """How long after a KILL all of the worker's runs were queued or ran again, or had ended."""

    name: str
    killed: float
    runs: int
    seconds: float
    is_over: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the checker is given.

    Attributes:
        horizon: the time from the first start of the tasks to the end of the workload.
        existing: the keys of the tasks that are still stored.
        cancels: reasons that the user gave when cancelling.
        crashes: a sentence for each process that ended in a way that nobody asked for.
        disagreements: a sentence for each difference between the ledger and the small tables.
        withdrawn: the keys of runs that were planned ahead and withdrawn by the user's edits.
        punctual: how late a start may be, in seconds.
        lease: how long a silent process is believed to be alive, in seconds.
    """

    horizon: Span
    subjects: dict[str, Subject]
    requests: list[Request] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    lives: dict[int, Life] = field(default_factory=dict)
    disturbances: list[Disturbance] = field(default_factory=list)
    rescues: list[Rescue] = field(default_factory=list)
    existing: frozenset[str] = frozenset()
    cancels: frozenset[str] = frozenset()
    crashes: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()
    withdrawn: frozenset[int] = frozenset()
    punctual: float = 5.0
    lease: float = 5.0
    lost_limit: int = 3

    def disturbance(self, span: Span) -> Disturbance | None:
        """Return what kept the fleet from being punctual within ``span``, if anything."""
        return next((each for each in self.disturbances if meets(each.span, span)), None)

    def doubt(self, execution: Execution) -> float | None:
        """Return from when on its worker may have been taken for dead while it was not.

        Only that makes a zombie: a worker that was stopped, or that could not reach the database,
        for a good part of its lease. None if there was no such thing until the execution's end.
        """
        life = self.lives.get(execution.member)
        end = self.recorded_by(execution)
        reasons = [
            stop + self.lease * DANGEROUS
            for stop, thaw in (life.frozen if life else ())
            if thaw - stop > self.lease * DANGEROUS and stop < end and thaw > execution.start - 2
        ]
        reasons += [
            max(execution.start, each.span[0])
            for each in self.disturbances
            if not each.is_brief and each.span[0] < end and each.span[1] > execution.start
        ]
        return min(reasons, default=None)

    def recorded_by(self, execution: Execution) -> float:
        """Return by when the ledger knows how it ended, if its worker lives: mostly at once."""
        end = end_of(execution, self.lives)
        life = self.lives.get(execution.member)
        by = end + RECORDED_WITHIN
        hindrances = [*(life.frozen if life else ()), *(each.span for each in self.disturbances)]
        for start, stop in sorted(hindrances):
            if start < by and stop > end:
                by = max(by, stop + RECORDED_WITHIN)
        return by


def meets(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def end_of(execution: Execution, lives: dict[int, Life]) -> float:
    """Return the last moment at which an execution certainly went on."""
    if execution.end is not None:
        return execution.end
    life = lives.get(execution.member)
    return max(execution.start, life.died[0]) if life and life.died else execution.start
