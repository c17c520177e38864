"""Matches what was due with what was executed, and with what the ledger says of the rest.

In the manner of Jepsen's test of Chronos: each expected occurrence must have an execution of its
own, or a row that says why it has none. The ledger is not believed where the log can contradict.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from tests.chaos import earliness, edits, lateness, matching, overlaps, repeats, states
from tests.chaos.evidence import Evidence, Execution, Row
from tests.chaos.verdict import Finding, Flaw, Verdict

RESCUE_BEYOND_LEASE = 15.0


@dataclass(slots=True)
class OfTask:
    """All that is known of one key."""

    rows: list[Row] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)


def check(evidence: Evidence) -> Verdict:
    verdict = Verdict()
    by_key: dict[str, OfTask] = defaultdict(OfTask)
    for row in evidence.rows:
        by_key[row.key].rows.append(row)
    for execution in evidence.executions:
        by_key[execution.key].executions.append(execution)
    for key in {*evidence.subjects, *by_key}:
        of = by_key[key]
        for step in (matching, edits, earliness, repeats, states, overlaps, lateness):
            step.check(evidence, key, of.rows, of.executions, verdict)
    for request in evidence.requests:
        executions = by_key[request.key].executions
        matching.check_request(evidence, request, executions, verdict)
        earliness.check_request(request, executions, verdict)
    verdict.findings += _of_the_fleet(evidence)
    return verdict


def _of_the_fleet(evidence: Evidence) -> list[Finding]:
    findings = [Finding(flaw=Flaw.CRASH, says=crash) for crash in evidence.crashes]
    findings += [Finding(flaw=Flaw.DISAGREEING, says=each) for each in evidence.disagreements]
    limit = evidence.lease + RESCUE_BEYOND_LEASE
    for rescue in evidence.rescues:
        span = (rescue.killed, rescue.killed + rescue.seconds)
        if rescue.is_over and rescue.seconds <= limit:
            continue
        if evidence.disturbance(span):
            continue
        says = f"{rescue.runs} runs of {rescue.name} were left for {rescue.seconds:.1f} s"
        findings.append(Finding(flaw=Flaw.RESCUE, due=rescue.killed, says=says))
    return findings
