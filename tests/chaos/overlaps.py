"""Finds executions that went on at the same time, though the task's policy forbids it.

A run is also never to be executed twice at a time. A stopped process does nothing. But what it
goes on with after its lease ran out is a zombie: it goes on beside the rescued run, and nobody can
keep it from that. Such overlaps are counted by themselves.
"""

from collections.abc import Iterator, Sequence

from tests.chaos.evidence import Evidence, Execution, Row, Span, Subject, end_of
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
    by_id = {row.id: row for row in rows}
    for one, other in _pairs(evidence, executions):
        if subject.overlap == "allow" and one.run != other.run:
            continue
        for began, ended in _common(evidence, one, other):
            says = (
                f"{_words(one)} and {_words(other)} went on together for "
                f"{ended - began:.3f} s from {clock_time(began)}"
            )
            # A run that was rescued begins another attempt; one handed back does not.
            is_same_attempt = (one.run, one.attempt) == (other.run, other.attempt)
            if not is_same_attempt and (
                _is_zombie(evidence, one, by_id, began)
                or _is_zombie(evidence, other, by_id, began)
            ):
                verdict.zombies.append(f"{key}: {says}")
            else:
                says += _told(evidence, one, began) + _told(evidence, other, began)
                finding = Finding(flaw=Flaw.CONCURRENT, key=key, due=other.due, says=says)
                verdict.findings.append(finding)
            break


def _pairs(
    evidence: Evidence, executions: Sequence[Execution]
) -> Iterator[tuple[Execution, Execution]]:
    """Yield those pairs that may have gone on together, the earlier one first."""
    going: list[tuple[float, Execution]] = []
    for execution in sorted(executions, key=lambda execution: execution.start):
        going = [(end, other) for end, other in going if end > execution.start]
        yield from ((other, execution) for _, other in going)
        going.append((end_of(execution, evidence.lives), execution))


def _common(evidence: Evidence, one: Execution, other: Execution) -> Iterator[Span]:
    """Yield the times in which both really went on."""
    for start, end in _active(evidence, one):
        for other_start, other_end in _active(evidence, other):
            began, ended = max(start, other_start), min(end, other_end)
            if began < ended:
                yield began, ended


def _active(evidence: Evidence, execution: Execution) -> list[Span]:
    """Return the times in which the process was not stopped."""
    spans = []
    start, end = execution.start, end_of(execution, evidence.lives)
    life = evidence.lives.get(execution.member)
    for stop, thaw in sorted(life.frozen) if life else ():
        if stop < end and thaw > start:
            spans.append((start, stop))
            start = max(start, thaw)
    spans.append((start, end))
    return [(start, end) for start, end in spans if start < end]


def _is_zombie(
    evidence: Evidence, execution: Execution, by_id: dict[int, Row], moment: float
) -> bool:
    """Whether its worker may have been taken for dead by then, and the ledger says that it was."""
    doubt = evidence.doubt(execution)
    row = by_id.get(execution.run)
    if doubt is None or doubt > moment or row is None:
        return False
    return row.times_lost > 0 or row.attempt > execution.attempt


def _told(evidence: Evidence, execution: Execution, moment: float) -> str:
    life = evidence.lives.get(execution.member)
    if life is None or life.told is None or life.told > moment:
        return ""
    return f"; process {execution.member} had been told to end at {clock_time(life.told)}"


def _words(execution: Execution) -> str:
    return f"run {execution.run} (attempt {execution.attempt}, process {execution.member})"
