"""Write what attempts have printed, and their progress; see `sisy.records.run_output`.

Each report has all that an attempt has reported so far, so that writing it twice changes nothing.
Only the process that executes the attempt writes it. While the run is running, the row of the run
says so, and is locked: a worker that has lost its lease changes nothing, and a late report never
replaces the last one, which is written with the outcome.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import connections, transaction

from sisy.records.outcome import storable
from sisy.records.run import RunRecord
from sisy.runtime.journal import Report
from sisy.runtime.progress import Progress
from sisy.store.outcomes import of_last_attempts
from sisy.store.run_queries import rows_of
from sisy.store.statements import Statement

MAX_CHARACTERS = 1_000_000  # in one statement

Reported = Sequence[tuple[RunRecord, Report]]

COLUMNS = (
    "run_id",
    "attempt",
    "process_id",
    "head",
    "tail",
    "written",
    "done",
    "total",
    "message",
    "progressed_at",
    "updated_at",
)
LISTED = ", ".join(COLUMNS)
TEXTS = ("head", "tail")
OTHERS = [name for name in COLUMNS[2:] if name not in TEXTS]

# PostgreSQL: one statement for all reports, whose values are one JSON text, as in `outcomes`. Most
# reports are those of short runs that have printed a few lines, and need only the first four keys.
# A text that did not change is not written again, which matters for a head of 16 kB.
KEYS = "r bigint, a integer, p bigint, h text, t text, w bigint"
KEYS_OF_PROGRESS = "done float8, total float8, message text, progressed_at timestamptz"
UPDATE = f"""
    ON CONFLICT (run_id, attempt) DO UPDATE SET
        head = CASE WHEN output.head = excluded.head THEN output.head ELSE excluded.head END,
        tail = CASE WHEN output.tail = excluded.tail THEN output.tail ELSE excluded.tail END,
        {", ".join(f"{name} = excluded.{name}" for name in OTHERS)}
"""


def _write_many(progress: str, keys: str) -> Statement:
    """Return PostgreSQL's statement for reports, with the SQL of their progress."""
    return Statement(f"""
        INSERT INTO sisy_run_output AS output ({LISTED})
        SELECT r, a, p, h, COALESCE(t, ''), COALESCE(w, octet_length(h)), {progress}, %(now)s
        FROM json_to_recordset(%(reports)s::json) AS report ({keys})
        {UPDATE}
    """)


WRITE_TEXTS = _write_many("NULL, NULL, '', NULL", KEYS)
WRITE_PROGRESS = _write_many("done, total, message, progressed_at", f"{KEYS}, {KEYS_OF_PROGRESS}")

# SQLite and MariaDB: one statement for each report.
VALUES = ", ".join(f"%({name})s" for name in COLUMNS)
WRITE_ONE = Statement(f"""
    INSERT INTO sisy_run_output ({LISTED}) VALUES ({VALUES})
    ON CONFLICT (run_id, attempt) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in (*TEXTS, *OTHERS))}
""")
WRITE_ONE_IN_MYSQL = Statement(f"""
    INSERT INTO sisy_run_output ({LISTED}) VALUES ({VALUES})
    ON DUPLICATE KEY UPDATE {", ".join(f"{name} = VALUES({name})" for name in (*TEXTS, *OTHERS))}
""")


def write_while_running(using: str, reported: Reported, now: datetime) -> list[RunRecord]:
    """Write reports of runs that still belong to their process, and return these runs."""
    runs = [run for run, _ in reported]
    with transaction.atomic(using=using):
        held = set(rows_of(type(runs[0]), using).held(runs).lock())
        kept = [one for one in of_last_attempts(reported) if one[0].pk in held]
        write_reports(using, kept, now)
    return [run for run, _ in kept]


def write_reports(using: str, reported: Reported, now: datetime) -> None:
    """Write reports. Call it in a transaction that has locked or changed their runs."""
    vendor = connections[using].vendor
    if vendor == "postgresql":
        texts = [each for each in reported if each[1].progress is None]
        others = [each for each in reported if each[1].progress is not None]
        for statement, group in ((WRITE_TEXTS, texts), (WRITE_PROGRESS, others)):
            for some in _in_parts(group):
                rows = [_json_of(run, report, now) for run, report in some]
                text = json.dumps(rows, default=datetime.isoformat)
                statement.change(using, reports=text, now=now)
        return
    statement = WRITE_ONE_IN_MYSQL if vendor == "mysql" else WRITE_ONE
    for run, report in reported:
        statement.change(using, **_row(run, report, now))


def _in_parts(reported: Reported) -> Iterator[Reported]:
    """Divide reports into parts that a statement can carry."""
    part: list[tuple[RunRecord, Report]] = []
    size = 0
    for run, report in reported:
        if part and size + len(report) > MAX_CHARACTERS:
            yield part
            part, size = [], 0
        part.append((run, report))
        size += len(report)
    if part:
        yield part


def _json_of(run: RunRecord, report: Report, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {
        "r": run.id,
        "a": run.attempt,
        "p": run.process_id,
        "h": report.head,
    }
    if report.tail:
        row |= {"t": report.tail, "w": report.written}
    return row if report.progress is None else row | _progress_of(report.progress, now)


def _row(run: RunRecord, report: Report, now: datetime) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "attempt": run.attempt,
        "process_id": run.process_id,
        "head": report.head,
        "tail": report.tail,
        "written": report.written,
        "updated_at": now,
        **_progress_of(report.progress, now),
    }


def _progress_of(progress: Progress | None, now: datetime) -> dict[str, Any]:
    if progress is None:
        return {"done": None, "total": None, "message": "", "progressed_at": None}
    # The steady clock of this host says how long ago it was.
    age = timedelta(seconds=max(0.0, monotonic() - progress.at))
    return {
        "done": progress.done,
        "total": progress.total,
        "message": storable(progress.message)[:200],
        "progressed_at": now - age,
    }
