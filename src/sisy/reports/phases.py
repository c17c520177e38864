"""The phases of a run: how long each of its attempts was delayed, queued and executed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils.translation import gettext

from sisy.lifecycle.release import TIME_TO_GO
from sisy.models import Attempt, Run, RunState
from sisy.records.choices import LIVE_STATES


class PhaseKind(StrEnum):
    """The kind of a phase."""

    DELAYED = "delayed"
    """Not ready yet: before its moment, by its task's spread, or between two attempts."""
    QUEUED = "queued"
    """Ready, and not claimed by a worker."""
    WAITED = "waited"
    """Delayed and queued before an earlier attempt; only the sum of both is known."""
    RUNNING = "running"
    """Executed by a worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the time of an attempt."""

    kind: PhaseKind
    start: datetime
    end: datetime

    @property
    def span(self) -> timedelta:
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptPhases:
    """An attempt with its phases, in order.

    Attributes:
        number: its number, from 1 on.
        state: how it ended, or the state of the run if it is the latest one.
        row: the row that records it: the run itself for the latest one.
        worker: the name of its worker; empty if it has none.
    """

    number: int
    state: str
    row: Run | Attempt
    worker: str
    phases: tuple[Phase, ...]

    @property
    def took(self) -> timedelta | None:
        """The time for which it was executed; None if it was not, or if that is not known."""
        return next((one.span for one in self.phases if one.kind == PhaseKind.RUNNING), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An event of a run, and the time since the previous one."""

    words: str
    at: datetime
    since: timedelta | None


def attempts_of(run: Run, earlier: Sequence[Attempt], now: datetime) -> list[AttemptPhases]:
    """Return the attempts of a run with their phases, oldest first.

    Args:
        earlier: the attempts that did not end the run, oldest first.
    """
    found = []
    free_at = _beginning(run, was_retried=bool(earlier))
    for attempt in earlier:
        begun = attempt.started_at
        phases = [] if begun is None else [_phase(PhaseKind.WAITED, free_at, begun)]
        if begun is not None:
            phases.append(_phase(PhaseKind.RUNNING, begun, attempt.finished_at))
        found.append(
            AttemptPhases(
                number=attempt.number,
                state=attempt.state,
                row=attempt,
                worker=attempt.worker_name,
                phases=_lasting(phases),
            )
        )
        free_at = attempt.finished_at
    if run.count == 1:
        found.append(_latest(run, free_at, now))
    return [one for one in found if one.phases or one.number < len(found)]


def _beginning(run: Run, *, was_retried: bool) -> datetime:
    """Return when the first attempt began to wait."""
    begin: datetime = run.planned_at
    if run.due_at is not None:
        begin = max(begin, run.due_at)
    # A retry has moved the moment from which on the run is ready.
    return begin if was_retried else min(run.ready_at, begin)


def _latest(run: Run, free_at: datetime, now: datetime) -> AttemptPhases:
    if run.state == RunState.QUEUED and run.started_at is not None:
        return _released(run, free_at, run.started_at, now)
    begun = None if run.state == RunState.QUEUED else run.started_at
    over = run.finished_at or now
    # A run that is not ready yet is delayed until a moment in the future.
    ready = run.ready_at if run.state == RunState.QUEUED else min(run.ready_at, begun or over)
    phases = [
        _phase(PhaseKind.DELAYED, free_at, ready),
        _phase(PhaseKind.QUEUED, max(ready, free_at), begun or over),
    ]
    if begun is not None:
        phases.append(_phase(PhaseKind.RUNNING, begun, over))
    return AttemptPhases(
        number=run.attempt + (begun is None and run.state in LIVE_STATES),
        state=run.state,
        row=run,
        worker=run.worker_name if begun else "",
        phases=_lasting(phases),
    )


def _released(run: Run, free_at: datetime, begun: datetime, now: datetime) -> AttemptPhases:
    """Return the attempt of a run that a stopping worker has released; it starts once more."""
    left_at = run.ready_at - TIME_TO_GO
    phases = [
        _phase(PhaseKind.WAITED, free_at, begun),
        _phase(PhaseKind.RUNNING, begun, left_at),
        _phase(PhaseKind.DELAYED, left_at, run.ready_at),
        _phase(PhaseKind.QUEUED, run.ready_at, now),
    ]
    return AttemptPhases(
        number=run.attempt + 1, state=run.state, row=run, worker="", phases=_lasting(phases)
    )


def _phase(kind: PhaseKind, start: datetime, end: datetime) -> Phase:
    return Phase(kind=kind, start=start, end=max(start, end))


def _lasting(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """Return the phases that took time; an execution may have taken none."""
    return tuple(one for one in phases if one.span or one.kind == PhaseKind.RUNNING)


def steps_of(run: Run, earlier: Sequence[Attempt]) -> list[Step]:
    """Return the events of a run, oldest first."""
    found: list[Step] = []
    for words, at in sorted(_events(run, earlier), key=lambda event: event[1]):
        since = at - found[-1].at if found else None
        found.append(Step(words=words, at=at, since=since))
    return found


def _events(run: Run, earlier: Sequence[Attempt]) -> Iterator[tuple[str, datetime]]:
    moments = [
        (gettext("due"), run.due_at),
        (gettext("planned"), run.planned_at),
    ]
    for attempt in earlier:
        named = {"number": attempt.number, "state": attempt.get_state_display()}
        moments += [
            (gettext("attempt %(number)d started") % named, attempt.started_at),
            (gettext("attempt %(number)d %(state)s") % named, attempt.finished_at),
        ]
    started = gettext("attempt %d started") % run.attempt if earlier else gettext("started")
    moments += [
        (gettext("available to workers"), run.ready_at),
        (started, run.started_at),
        (gettext("cancel requested"), run.cancel_requested_at),
        (str(run.get_state_display()), run.finished_at),
    ]
    return ((words, at) for words, at in moments if at is not None)
