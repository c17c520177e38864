"""Finds starts that were late though nothing delayed them."""

from collections.abc import Sequence

from tests.chaos.evidence import Evidence, Execution, Request, Row, Subject
from tests.chaos.moments import clock_time
from tests.chaos.verdict import Finding, Flaw, Verdict

AFTER_A_THAW = 2.0
"""Seconds in which a run is found that a process had locked when it was frozen."""

SEEN_LATER = 0.5  # seconds by which a row may be written after what it tells of


def check(
    evidence: Evidence,
    key: str,
    rows: Sequence[Row],
    executions: Sequence[Execution],
    verdict: Verdict,
) -> None:
    subject = evidence.subjects.get(key, Subject(key=key))
    requests = {request.run: request for request in evidence.requests if request.key == key}
    ended = [row for row in rows if row.finished is not None and row.attempt]
    ended.sort(key=lambda row: row.finished or 0)
    first: dict[int, Execution] = {}
    for execution in sorted(executions, key=lambda execution: execution.start):
        first.setdefault(execution.run, execution)
    for row in rows:
        execution = first.get(row.id)
        if execution is None or row.times_lost or execution.attempt != 1:
            continue
        wanted = _wanted(subject, row, requests.get(row.id))
        if wanted is None or evidence.disturbance((wanted - 1, execution.start)) is not None:
            continue
        if _was_locked(evidence, wanted, execution.start):
            continue
        free = wanted
        if subject.overlap != "allow":
            free = max(_free_from(ended, wanted, execution), _idle_from(executions, execution))
        late = execution.start - max(wanted, free)
        if row.due is not None and not subject.spread and free <= wanted:
            verdict.lateness.append(execution.called[1] - wanted)
        if late > evidence.punctual:
            says = f"run {row.id} started at {clock_time(execution.start)}, {late:.1f} s late"
            if free > wanted:
                says += f" after its predecessor ended at {clock_time(free)}"
            verdict.findings.append(Finding(flaw=Flaw.LATE, key=key, due=row.due, says=says))


def _wanted(subject: Subject, row: Row, request: Request | None) -> float | None:
    """Return when the run should have started at the latest, were the fleet infinitely fast."""
    if row.origin == "schedule" and row.due is not None:
        return row.due + subject.spread
    if request is not None:
        return max(request.asked[1], request.not_before or 0)
    return None


def _free_from(ended: Sequence[Row], wanted: float, execution: Execution) -> float:
    """Return when the last one of the task before this execution had ended, by the ledger."""
    for row in reversed(ended):
        is_before = (row.started or row.planned) < execution.start and row.id != execution.run
        if is_before and (row.finished or 0) <= execution.start + SEEN_LATER:
            return max(wanted, row.finished or 0)
    return wanted


def _idle_from(executions: Sequence[Execution], execution: Execution) -> float:
    """Return when the last attempt of another run before this one had ended, or 0."""
    others = [one for one in executions if one.run != execution.run and one.end is not None]
    return max((one.end or 0 for one in others if (one.end or 0) <= execution.start), default=0)


def _was_locked(evidence: Evidence, wanted: float, start: float) -> bool:
    """Whether a process may have held the run's row, or its task's, while it was frozen."""
    frozen = [span for life in evidence.lives.values() for span in life.frozen]
    return any(wanted - 1 < thaw <= start < thaw + AFTER_A_THAW for _, thaw in frozen)
