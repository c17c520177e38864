"""Finds rows that have not ended, or whose state does not fit what is known of them."""

from collections.abc import Iterator, Sequence

from tests.chaos.evidence import (
    LONGEST_LEAD,
    RECORDED_WITHIN,
    Evidence,
    Execution,
    Row,
    Span,
    Subject,
    meets,
)
from tests.chaos.occurrences import due_between
from tests.chaos.verdict import Finding, Flaw, Verdict

LIVE = ("queued", "running")
TASK_DELETED = "The task was deleted."
CANCELLING = ("cancel_other", "terminate_other")
NO_HEARTBEAT = "No heartbeat planned the task in time"
ON_TIME_TOLERANCE = 5.0  # seconds after which the heartbeat calls an occurrence missed
MAY_SKIP = ("skip", "buffer_one", "buffer_all", *CANCELLING)


def check(
    evidence: Evidence,
    key: str,
    rows: Sequence[Row],
    executions: Sequence[Execution],
    verdict: Verdict,
) -> None:
    subject = evidence.subjects.get(key, Subject(key=key))
    by_id = {row.id: row for row in rows}
    outcomes: dict[int, set[str | None]] = {}
    for execution in executions:
        outcomes.setdefault(execution.run, set()).add(execution.outcome)
    for row in rows:
        if row.state in LIVE:
            says = f"run {row.id} is still {row.state}, attempt {row.attempt}. {row.reason}"
            verdict.findings.append(Finding(flaw=Flaw.UNENDED, key=key, due=row.due, says=says))
        elif why := _objection(evidence, subject, row, by_id, outcomes.get(row.id, set())):
            says = f"run {row.id} is {row.state}, but {why}. Its reason: {row.reason!r}"
            verdict.findings.append(
                Finding(flaw=Flaw.UNEXPLAINED, key=key, due=row.due, says=says)
            )


def _objection(
    evidence: Evidence,
    subject: Subject,
    row: Row,
    by_id: dict[int, Row],
    outcomes: set[str | None],
) -> str:
    match row.state:
        case "succeeded":
            return "" if "ok" in outcomes else "the log has no execution that ended well"
        case "failed":
            is_deliberate = "raised" in outcomes and row.reason.startswith("DeliberateFailure")
            return "" if is_deliberate else "no function had failed on purpose"
        case "timed_out":
            return "" if subject.timeout is not None else "its task has no timeout"
        case "lost":
            may_be = subject.on_lost == "fail" or row.times_lost > evidence.lost_limit
            return "" if may_be or subject.is_deleted else "its task lets lost runs run again"
        case "skipped":
            return _objection_to_skip(evidence, subject, row, by_id)
        case "missed":
            return _objection_to_gap(evidence, subject, row)
        case "cancelled":
            is_by_user = any(reason in row.reason for reason in evidence.cancels)
            is_asked = is_by_user or subject.overlap in CANCELLING
            is_deleted = row.reason == TASK_DELETED and subject.is_deleted
            if row.origin == "schedule" and (row.finished or 0) < (row.due or 0) - LONGEST_LEAD:
                return "that was before it was due"
            return "" if is_asked or is_deleted else "nobody had cancelled it"
    return "no such state is known"


def _objection_to_skip(
    evidence: Evidence, subject: Subject, row: Row, by_id: dict[int, Row]
) -> str:
    if subject.overlap not in MAY_SKIP:
        return f"its task says overlap={subject.overlap!r}"
    blocker = by_id.get(row.blocked_by or 0)
    if blocker is None:
        return f"the run that blocked it, {row.blocked_by}, is none of its task's"
    skipped = row.finished or 0
    ended = skipped if blocker.finished is None else blocker.finished
    if ended < skipped - RECORDED_WITHIN and evidence.disturbance((ended, skipped)) is None:
        return f"run {blocker.id}, which blocked it, had ended {skipped - ended:.1f} s ago"
    return ""


def _objection_to_gap(evidence: Evidence, subject: Subject, row: Row) -> str:
    first, last = row.due or 0, row.due_until or row.due or 0
    if row.reason.startswith(NO_HEARTBEAT):
        # One that counts iterations may have been retired until what it skipped was given back.
        is_revived = subject.iterations is not None and subject.overlap in MAY_SKIP
        span = (first - 1, last + ON_TIME_TOLERANCE + 1)
        if evidence.disturbance(span) is None and not is_revived:
            return f"{row.count} occurrences were missed while heartbeats were up"
    elif not any(start - 1 < row.planned < end + 1 for start, end in _edits(subject)):
        return "nobody had changed its task then"
    if first == subject.first_due:
        return ""
    # It may be a gap of two schedules: after raw SQL, a heartbeat counts by the new one from a
    # moment of the old one on.
    recorded = (first, max(last, row.planned))
    if any(each.is_found_later and meets(each.may, recorded) for each in subject.active):
        return ""
    counts = {
        len(due_between(schedule, timezone, subject.key, (first - 0.5, last)))
        for (schedule, timezone), may in _schedules(subject)
        if may[0] < first and last <= may[1]
    }
    if row.count in counts:
        return ""
    return f"it counts {row.count}, and not {' or '.join(map(str, sorted(counts))) or 'none'}"


def _schedules(subject: Subject) -> list[tuple[tuple[str, str], Span]]:
    """Return the schedules of a task, and when each may have been in effect.

    An edit of something else, such as the priority, leaves the schedule as it is.
    """
    merged: list[tuple[tuple[str, str], Span]] = []
    for active in subject.active:
        schedule = active.schedule, active.timezone
        if merged and merged[-1][0] == schedule and active.may[0] <= merged[-1][1][1]:
            merged[-1] = schedule, (merged[-1][1][0], active.may[1])
        else:
            merged.append((schedule, active.may))
    return merged


def _edits(subject: Subject) -> Iterator[Span]:
    for active in subject.active:
        yield active.may[0], active.must[0]
        yield active.must[1], active.may[1]
