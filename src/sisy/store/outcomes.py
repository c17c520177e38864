"""The statements with which a worker writes the outcomes of its runs.

Each statement repeats the fence: it changes a run only while the run still belongs to the process
and the attempt that executed it. If a run was rescued in the meantime, its old worker changes
nothing.
"""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.records.choices import RunState
from sisy.records.outcome import Outcome
from sisy.records.run import R, RunRecord
from sisy.store import entries
from sisy.store.entries import IS_TROUBLED, TROUBLED_COLUMNS, TROUBLED_VALUES
from sisy.store.run_queries import rows_of
from sisy.store.statements import Statement

COLUMNS = ("state", "started_at", "finished_at", "reason", "result", "error", "error_class")

T = TypeVar("T")

Ended = Sequence[tuple[R, Outcome]]

# PostgreSQL: one statement for all runs and their entries. Their values are one JSON text, because
# the driver needs several times as long for a list per column.
#
# The fence is a CASE, because PostgreSQL does not estimate what one returns. From the bare
# conditions it would expect that hardly any run matches, since hardly any run of the ledger is
# running. Then it would compare each outcome with each running run.
FINISH_MANY = f"""
    WITH finished AS (
        UPDATE sisy_run
        SET state = ended.state, started_at = ended.started_at, finished_at = ended.finished_at,
            reason = ended.reason, result = ended.result, error = ended.error,
            error_class = ended.error_class
        FROM json_to_recordset(%(ended)s::json) AS ended (
            id bigint, process bigint, attempt integer, state text,
            started_at timestamptz, finished_at timestamptz, reason text, result jsonb,
            error text, error_class text
        )
        WHERE sisy_run.id = ended.id AND CASE WHEN
            sisy_run.process_id = ended.process AND sisy_run.attempt = ended.attempt
            AND sisy_run.state = 'running'
        THEN true END
        RETURNING sisy_run.id, task_id, sisy_run.state, sisy_run.finished_at
    ),
    released AS ({entries.deletion_of("sisy_running_run", "finished")})
"""
FINISH_WELL = Statement(f"{FINISH_MANY} SELECT id FROM finished")
FINISH_ALL = Statement(f"""
    {FINISH_MANY},
    troubled AS (
        INSERT INTO sisy_troubled_run ({TROUBLED_COLUMNS})
        SELECT {TROUBLED_VALUES} FROM finished WHERE {IS_TROUBLED}
    )
    SELECT id FROM finished
""")

# SQLite and MariaDB: one statement for each run.
FINISH_ONE = Statement("""
    UPDATE sisy_run
    SET state = %(state)s, started_at = %(started_at)s, finished_at = %(finished_at)s,
        reason = %(reason)s, result = %(result)s, error = %(error)s, error_class = %(error_class)s
    WHERE id = %(id)s AND process_id = %(process)s
        AND attempt = %(attempt)s AND state = 'running'
""")


def write_outcomes(using: str, ended: Ended[R]) -> set[int]:
    """Write outcomes, and return the keys of the runs that still belonged to their process.

    Call it in a transaction.
    """
    if not ended:
        return set()
    connection = connections[using]
    if connection.vendor == "postgresql":
        return _finish_at_once(using, ended)
    if connection.vendor == "mysql":
        # InnoDB would lock entries of an index that other transactions lock after the rows.
        runs = rows_of(type(ended[0][0]), using)
        held = set(runs.held([run for run, _ in ended]).lock())
        ended = [(run, outcome) for run, outcome in ended if run.pk in held]
    values = ((run.pk, _values(run, outcome, connection)) for run, outcome in ended)
    finished = {pk for pk, each in values if FINISH_ONE.change(using, **each)}
    entries.finish(using, sorted(finished))
    return finished


def _finish_at_once(using: str, ended: Ended[R]) -> set[int]:
    # In the order of the keys, in which everything else locks runs.
    in_order = sorted(ended, key=lambda one: one[0].id)
    all_well = all(outcome.state == RunState.SUCCEEDED for _, outcome in in_order)
    statement = FINISH_WELL if all_well else FINISH_ALL
    text = json.dumps([_json_of(run, outcome) for run, outcome in in_order])
    return {pk for (pk,) in statement.rows(using, ended=text)}


def _json_of(run: RunRecord, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": run.id,
        "process": run.process_id,
        "attempt": run.attempt,
        "state": outcome.state,
        "started_at": outcome.started_at.isoformat(),
        "finished_at": outcome.finished_at.isoformat(),
        "reason": outcome.reason,
        "result": outcome.result,
        "error": outcome.error,
        "error_class": outcome.error_class,
    }


def _values(run: RunRecord, outcome: Outcome, connection: BaseDatabaseWrapper) -> dict[str, Any]:
    field_of = run._meta.get_field
    fence = {"id": run.pk, "process": run.process_id, "attempt": run.attempt}
    return fence | {
        name: field_of(name).get_db_prep_save(getattr(outcome, name), connection)  # type: ignore[union-attr]
        for name in COLUMNS
    }


def of_last_attempts(pairs: Sequence[tuple[R, T]]) -> Sequence[tuple[R, T]]:
    """Leave out the attempts that were lost before their worker made a later one of the run.

    Args:
        pairs: runs, each with what its attempt has reported.
    """
    # A worker that was frozen may claim again what was taken from it, and both attempts may report
    # at the same time. The key of a run that is still held says nothing of the lost one.
    last: dict[int, int] = {}
    for run, _ in pairs:
        last[run.id] = max(run.attempt, last.get(run.id, 0))
    if len(last) == len(pairs):
        return pairs
    return [one for one in pairs if one[0].attempt == last[one[0].id]]
