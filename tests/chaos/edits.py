"""Finds runs by what an edit had replaced before they were due, and runs that were withdrawn.

That nothing is planned by a schedule that an edit has replaced, `matching` finds.
"""

from collections.abc import Sequence

from tests.chaos.evidence import Evidence, Execution, Row, Subject
from tests.chaos.verdict import Finding, Flaw, Verdict

WRITTEN_WITHIN = 1.0  # seconds from when a pass reads the clock until it locks a task


def check(
    evidence: Evidence,
    key: str,
    rows: Sequence[Row],
    executions: Sequence[Execution],
    verdict: Verdict,
) -> None:
    subject = evidence.subjects.get(key, Subject(key=key))
    for row in rows:
        if row.id in evidence.withdrawn:
            says = f"run {row.id} was withdrawn, and is {row.state}"
            verdict.findings.append(Finding(flaw=Flaw.OUTDATED, key=key, due=row.due, says=says))
        elif row.origin == "schedule" and row.state != "missed" and row.due is not None:
            allowed = _priorities(subject, row.due, max(row.due, row.planned + WRITTEN_WITHIN))
            if allowed and row.priority not in allowed:
                says = f"run {row.id} has the priority {row.priority}, not {sorted(allowed)}"
                finding = Finding(flaw=Flaw.OUTDATED, key=key, due=row.due, says=says)
                verdict.findings.append(finding)
    for run in {execution.run for execution in executions} & evidence.withdrawn:
        says = f"run {run} was withdrawn, and executed"
        verdict.findings.append(Finding(flaw=Flaw.OUTDATED, key=key, says=says))


def _priorities(subject: Subject, due: float, planned: float) -> set[int]:
    """Return those that a task had when it was due, and since then until it was planned."""
    return {
        each.priority for each in subject.active if each.may[0] < planned and due <= each.may[1]
    }
