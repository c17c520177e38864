"""Finds functions that were called, or runs that were ready, before their moment.

The database's clock decides, and no tolerance is given: a call is early if even the latest moment
at which it may have been is before that of its run. How surely a call's moment is known, the
verdict says in figures. See `database_clock`.
"""

import zlib
from collections.abc import Collection, Iterator, Sequence

from sisy.schedules import Schedule
from tests.chaos.evidence import Evidence, Execution, Request, Row, Subject
from tests.chaos.moments import datetime_of, exact_time, of
from tests.chaos.verdict import Finding, Flaw, Verdict

ROUNDING = 2e-6
"""Seconds by which two numbers for the same moment may differ: databases store microseconds."""


def check(
    evidence: Evidence,
    key: str,
    rows: Sequence[Row],
    executions: Sequence[Execution],
    verdict: Verdict,
) -> None:
    subject = evidence.subjects.get(key, Subject(key=key))
    planned = [row for row in rows if row.due is not None and row.origin == "schedule"]
    moments = {row.id: moment_of(subject, row) for row in planned}
    for row in planned:
        if row.state != "missed" and row.ready < moments[row.id] - ROUNDING:
            says = f"run {row.id} was ready at {exact_time(row.ready)}"
            verdict.findings.append(Finding(flaw=Flaw.EARLY, key=key, due=row.due, says=says))
    verdict.findings += _early_calls(executions, moments, verdict)


def check_request(request: Request, executions: Collection[Execution], verdict: Verdict) -> None:
    """Check the run that somebody asked for, but not before some moment."""
    if request.run is not None and request.not_before is not None:
        own = [execution for execution in executions if execution.run == request.run]
        verdict.findings += _early_calls(own, {request.run: request.not_before}, verdict)


def _early_calls(
    executions: Collection[Execution], moments: dict[int, float], verdict: Verdict
) -> Iterator[Finding]:
    for execution in executions:
        moment = moments.get(execution.run)
        if moment is None:
            continue
        earliest, latest = execution.called
        verdict.uncertainty.append(latest - earliest)
        if latest < moment - ROUNDING:
            says = (
                f"run {execution.run}, attempt {execution.attempt}, was called at "
                f"{exact_time(latest)} at the latest, {(moment - latest) * 1000:.3f} ms before "
                f"{exact_time(moment)}"
            )
            yield Finding(flaw=Flaw.EARLY, key=execution.key, due=execution.due, says=says)


def moment_of(subject: Subject, row: Row) -> float:
    """Return the moment before which the run of an occurrence must not start."""
    due = row.due or 0.0
    if not subject.spread:
        return due
    # A spread ends before the next occurrence. Right after an edit, that of either schedule.
    following = [
        of(Schedule(each.schedule, each.timezone, key=subject.key).next_after(datetime_of(due)))
        for each in subject.active
    ]
    until_next = min((moment - due for moment in following if moment is not None), default=0.0)
    part = zlib.crc32(f"{row.task}:{datetime_of(due).isoformat()}".encode()) / 2**32
    return due + min(subject.spread, until_next) * part
