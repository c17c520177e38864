"""Finds runs that were executed more often than what happened to them allows."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from tests.chaos.evidence import Evidence, Execution, Row, Subject
from tests.chaos.moments import clock_time
from tests.chaos.verdict import Finding, Flaw, Verdict


def check(
    evidence: Evidence,
    key: str,
    rows: Sequence[Row],
    executions: Sequence[Execution],
    verdict: Verdict,
) -> None:
    subject = evidence.subjects.get(key, Subject(key=key))
    of_run: dict[int, list[Execution]] = defaultdict(list)
    for execution in executions:
        of_run[execution.run].append(execution)
    for run, calls in of_run.items():
        calls.sort(key=lambda call: call.start)
        for before, after in pairwise(calls):
            if why_not := _objection(evidence, subject, before, after):
                says = (
                    f"run {run} was executed {len(calls)} times: at {clock_time(before.start)} "
                    f"(attempt {before.attempt}, {before.outcome or 'cut off'}) and at "
                    f"{clock_time(after.start)} (attempt {after.attempt}); {why_not}"
                )
                finding = Finding(flaw=Flaw.REPEATED, key=key, due=before.due, says=says)
                verdict.findings.append(finding)
        failures = sum(_has_failed(subject, call) for call in calls)
        if failures > subject.max_attempts and not _may_have_gone_unrecorded(evidence, calls):
            says = f"run {run} failed {failures} times, of {subject.max_attempts} attempts"
            finding = Finding(flaw=Flaw.REPEATED, key=key, due=calls[0].due, says=says)
            verdict.findings.append(finding)


def _objection(evidence: Evidence, subject: Subject, before: Execution, after: Execution) -> str:
    """Return why ``after`` must not have been; nothing if something that happened excuses it."""
    life = evidence.lives.get(before.member)
    told = life.told if life else None
    if _has_failed(subject, before) and subject.max_attempts > 1:
        return ""
    died = life is not None and life.died is not None and life.died[0] < after.start
    was_told = told is not None and told < after.start
    is_handed_back = was_told and (died or before.outcome != "ok")
    doubt = evidence.doubt(before)
    is_doubted = doubt is not None and doubt < after.start
    if not (died or is_handed_back or is_doubted):
        return "and nothing had happened to its worker"
    if before.outcome == "ok" and not is_doubted and not _was_cut_short(evidence, before):
        return "although it had ended well, and its worker lived on long enough to record that"
    if subject.on_lost == "fail":
        return "although a lost run of this task must not be run again"
    return ""


A_MOMENT = 0.1  # seconds by which a function may begin later than its timeout


def _has_failed(subject: Subject, call: Execution) -> bool:
    """Whether it raised, or was ended at its timeout, after which it may be tried again."""
    is_timed_out = (
        subject.timeout is not None
        and call.end is not None
        and call.end - call.start >= subject.timeout - A_MOMENT
    )
    return call.outcome == "raised" or (call.outcome == "cancelled" and is_timed_out)


def _was_cut_short(evidence: Evidence, before: Execution) -> bool:
    """Whether the worker died before it could record how the execution ended."""
    life = evidence.lives.get(before.member)
    return (
        life is not None and life.died is not None and life.died[0] < evidence.recorded_by(before)
    )


def _may_have_gone_unrecorded(evidence: Evidence, calls: Sequence[Execution]) -> bool:
    return any(
        evidence.doubt(call) is not None or _was_cut_short(evidence, call) for call in calls
    )
