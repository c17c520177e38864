"""Matches each occurrence with an execution, or with the row that explains why there is none."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.evidence import Evidence, Execution, Request, Row, Subject
from tests.chaos.moments import clock_time
from tests.chaos.occurrences import counted, occurrences
from tests.chaos.verdict import Finding, Flaw, Verdict

EXECUTED = ("succeeded", "failed", "timed_out")
EXPLAINED = ("missed", "skipped", "cancelled", "lost", "queued", "running")


def check(
    evidence: Evidence,
    key: str,
    rows: Sequence[Row],
    executions: Sequence[Execution],
    verdict: Verdict,
) -> None:
    subject = evidence.subjects.get(key, Subject(key=key))
    planned = [row for row in rows if row.origin == "schedule"]
    due = occurrences(subject, rows)
    verdict.expected += len(due.must)
    _find_missing(due.must, planned, executions, verdict)
    _find_extra(evidence, key, due.may, rows, executions, verdict)
    _find_doubled(key, planned, executions, verdict)
    _find_wrong_number(evidence, subject, rows, verdict)


def check_request(
    evidence: Evidence, request: Request, executions: Sequence[Execution], verdict: Verdict
) -> None:
    """Match a run that somebody asked for and was told of."""
    if request.run is None:
        return
    verdict.expected += 1
    row = next((row for row in evidence.rows if row.id == request.run), None)
    own = [execution for execution in executions if execution.run == request.run]
    if own or (row and row.state in EXPLAINED):
        verdict.explained["executed" if own else row.state] += 1
    else:
        says = f"run {request.run}, asked for at {clock_time(request.asked[0])}, {_words(row)}"
        verdict.findings.append(Finding(flaw=Flaw.MISSING, key=request.key, says=says))


def _find_missing(
    must: frozenset[float],
    planned: Sequence[Row],
    executions: Sequence[Execution],
    verdict: Verdict,
) -> None:
    executed = {execution.due for execution in executions}
    at = {row.due: row for row in planned}
    gaps = [row for row in planned if row.state == "missed"]
    for due in must:
        row = at.get(due) or next((gap for gap in gaps if _covers(gap, due)), None)
        if due in executed:
            verdict.explained["executed"] += 1
        elif row is not None and row.state in EXPLAINED:
            verdict.explained[row.state] += 1
        else:
            key = planned[0].key if planned else executions[0].key if executions else "?"
            says = f"the log has no execution, and the ledger {_words(row)}"
            verdict.findings.append(Finding(flaw=Flaw.MISSING, key=key, due=due, says=says))


def _covers(gap: Row, due: float) -> bool:
    return gap.due is not None and gap.due <= due <= (gap.due_until or gap.due)


def _words(row: Row | None) -> str:
    if row is None:
        return "no row"
    return f"says of run {row.id}: {row.state}, attempt {row.attempt}. {row.reason}"


def _find_extra(
    evidence: Evidence,
    key: str,
    may: frozenset[float],
    rows: Sequence[Row],
    executions: Sequence[Execution],
    verdict: Verdict,
) -> None:
    on_the_books = {row.id: row for row in rows}
    requests = [request for request in evidence.requests if request.key == key]
    asked_for = {request.run for request in requests}
    in_doubt = [request.asked for request in requests if request.run is None]
    for execution in executions:
        row = on_the_books.get(execution.run)
        if row is None:
            says = f"run {execution.run} was executed, and is not on the books"
        elif row.due != execution.due and row.origin == "schedule":
            says = f"run {row.id} was executed for another moment than its row's"
        else:
            continue
        verdict.findings.append(Finding(flaw=Flaw.EXTRA, key=key, due=execution.due, says=says))
    for row in rows:
        if row.origin == "schedule":
            if row.due in may or row.state == "missed":
                continue
            says = f"run {row.id} was planned, though nothing fell due: {_words(row)}"
        elif row.id in asked_for or any(
            a <= row.planned + 1 and row.planned <= b + 1 for a, b in in_doubt
        ):
            continue
        else:
            says = f"run {row.id} ({row.origin}), though nobody asked for it: {_words(row)}"
        verdict.findings.append(Finding(flaw=Flaw.EXTRA, key=key, due=row.due, says=says))


def _find_doubled(
    key: str, planned: Sequence[Row], executions: Sequence[Execution], verdict: Verdict
) -> None:
    for due, says in (
        *_rows_of_one_due(planned),
        *_runs_of_one_due(executions),
        *_missed_and_planned(planned),
    ):
        verdict.findings.append(Finding(flaw=Flaw.DOUBLED, key=key, due=due, says=says))


def _rows_of_one_due(planned: Sequence[Row]) -> Iterator[tuple[float | None, str]]:
    for due, count in Counter(row.due for row in planned).items():
        if count > 1:
            yield due, f"{count} rows"


def _runs_of_one_due(executions: Sequence[Execution]) -> Iterator[tuple[float | None, str]]:
    runs: dict[float | None, set[int]] = defaultdict(set)
    for execution in executions:
        runs[execution.due].add(execution.run)
    for due, pks in runs.items():
        if due is not None and len(pks) > 1:
            yield due, f"executed under the runs {sorted(pks)}"


def _missed_and_planned(planned: Sequence[Row]) -> Iterator[tuple[float | None, str]]:
    for gap in planned:
        if gap.state == "missed":
            for row in planned:
                if row is not gap and row.due is not None and _covers(gap, row.due):
                    yield row.due, f"run {row.id} ({row.state}), and missed by row {gap.id}"


def _find_wrong_number(
    evidence: Evidence, subject: Subject, rows: Sequence[Row], verdict: Verdict
) -> None:
    if subject.iterations is None:
        return
    count = len(counted(rows))
    is_gone = subject.key not in evidence.existing
    ended_otherwise = subject.is_deleted or subject.end_running is not None
    if count > subject.iterations or (
        is_gone and count < subject.iterations and not ended_otherwise
    ):
        says = f"{count} of {subject.iterations} runs, and the task is " + (
            "gone" if is_gone else "still there"
        )
        verdict.findings.append(Finding(flaw=Flaw.ITERATIONS, key=subject.key, says=says))
