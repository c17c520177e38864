"""Decide which queued runs of a task may start. No database access.

Workers decide this when a run could start, because only then do they know what is still running.
If no run of the task is running, the oldest queued one starts, whatever the policy. The policy
decides about the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sisy.models import Origin, Overlap, Run
from sisy.planning.timing import ON_TIME_TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running run, which blocks other runs of its task."""

    pk: int
    ready_at: datetime
    started_at: datetime

    @classmethod
    def of(cls, run: Run, started_at: datetime) -> "Running":
        return cls(pk=run.pk, ready_at=run.ready_at, started_at=started_at)

    def would_be_over_by(self, moment: datetime, now: datetime) -> bool:
        """Return whether the run would have finished by ``moment`` had it started on time."""
        return self.ready_at + (now - self.started_at) < moment


@dataclass(slots=True)
class PolicyDecision:
    """The verdict on the queued runs of a task.

    Attributes:
        starting: the run that starts now, if any.
        skipped: the runs to skip, each with the key of the run that blocked it, and the reason.
        queued: whether some runs stay queued until it is their turn.
        ending: the keys of the running runs to cancel.
        successor: the key of the run that replaces them.
    """

    starting: Run | None = None
    skipped: list[tuple[Run, int, str]] = field(default_factory=list)
    queued: bool = False
    ending: list[int] = field(default_factory=list)
    successor: int | None = None

    def skip(self, runs: Sequence[Run], blocked_by: int, reason: str) -> None:
        self.skipped += [(run, blocked_by, reason) for run in runs]

    def decided(self) -> list[Run]:
        """Return the runs that leave the queue."""
        skipped = [run for run, _, _ in self.skipped]
        return skipped if self.starting is None else [self.starting, *skipped]


def apply_policy(
    policy: str, queued: Sequence[Run], running: Sequence[Running], limit: int, now: datetime
) -> PolicyDecision:
    """Decide about the ready runs of one task.

    Args:
        policy: the task's ``overlap``; any value except ``allow``.
        queued: the ready runs of the task, oldest first.
        running: the running runs of the task, oldest first.
        limit: the number of runs that ``buffer_all`` keeps queued; runs of `bulk_run_once` are
            exempt.
    """
    decision = PolicyDecision()
    rest = list(queued)
    if not running and rest:
        decision.starting = rest.pop(0)
        running = [Running.of(decision.starting, now)]
    patient: list[Run] = []
    others: list[Run] = []
    for run in rest:
        (patient if _may_wait(run, running[0], now) else others).append(run)
    decision.queued = bool(patient)
    if not others:
        return decision
    blocker = running[0].pk
    still_running = f"Run {blocker} of the task was still running"
    match Overlap(policy):
        case Overlap.BUFFER_ONE:
            kept = min((*patient, others[0]), key=_age)
            dropped = [run for run in others if run is not kept]
            decision.skip(
                dropped, blocker, f"{still_running}, and run {kept.pk} was already queued."
            )
            decision.queued = True
        case Overlap.BUFFER_ALL:
            room = max(0, limit - len(patient))
            # The limit protects from a schedule that is faster than its function. One call has
            # submitted all runs of a `bulk_run_once`: each of them is wanted.
            bounded = [run for run in others if run.origin != Origin.ONCE]
            decision.skip(
                bounded[room:],
                blocker,
                f"{still_running}, and the limit of queued runs ({limit}) was reached.",
            )
            decision.queued = True
        case Overlap.CANCEL_OTHER | Overlap.TERMINATE_OTHER:
            newest = max((*patient, others[-1]), key=_age)
            older = [run for run in others if run is not newest]
            reason = f"Run {newest.pk}, a newer run of the task, was queued."
            decision.skip(older, newest.pk, reason)
            decision.queued = True
            # A patient run may be newer than all the others. It waits, and replaces nothing.
            if newest is others[-1]:
                decision.ending, decision.successor = [run.pk for run in running], newest.pk
        case _:  # Overlap.SKIP
            decision.skip(others, blocker, f"{still_running}.")
    return decision


def _may_wait(run: Run, blocker: Running, now: datetime) -> bool:
    """Return whether a run waits for the running one to finish, whatever the policy."""
    # The policy has already let such a run start once, or a user explicitly wants it: it was tried
    # before, was released for another worker, or catches up on a missed occurrence.
    is_caught_up = run.due_at is not None and run.planned_at - run.due_at > ON_TIME_TOLERANCE
    has_begun = run.attempt > 0 or run.unresolved_since is not None
    if has_begun or is_caught_up or run.origin == Origin.BACKFILL:
        return True
    # The two may meet only because the earlier run started late. A short delay of Sisy's must not
    # count as a long run of the task.
    is_recent = now - ON_TIME_TOLERANCE <= run.ready_at
    came_together = run.ready_at <= blocker.started_at or blocker.would_be_over_by(
        run.ready_at, now
    )
    return bool(is_recent and came_together)


def _age(run: Run) -> tuple[datetime, int]:
    return run.ready_at, run.pk
