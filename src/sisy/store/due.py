"""The statements with which a heartbeat finds due tasks, and looks ahead.

Each of them reads the first entries of one index, however many rows there are.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sisy import clock
from sisy.records.instances import M
from sisy.store.statements import BEGINNING, Statement

# SKIP LOCKED passes over tasks that another heartbeat plans at the same time.
LOCK_DUE_TASKS = Statement("""
    SELECT {columns} FROM sisy_task
    WHERE state = 'active' AND next_run BETWEEN %(since)s AND %(now)s
    ORDER BY next_run, id
    LIMIT %(limit)s
    {skip_locked}
""")

ANY_DUE = Statement("""
    SELECT 1 FROM sisy_task
    WHERE state = 'active' AND next_run BETWEEN %(since)s AND %(now)s
    ORDER BY next_run
    LIMIT 1
""")

# In the order of the index: PostgreSQL otherwise expects to find such a task soon, because most
# retired tasks have no next run either, and reads the whole table to find none.
FIRST_UNPLANNED = """
    SELECT 1 FROM sisy_task WHERE state = 'active' AND next_run IS NULL ORDER BY next_run LIMIT 1
"""
ANY_UNPLANNED = Statement(FIRST_UNPLANNED)

# One row with everything that decides when the next tick is needed, or none if the process is not
# registered. With it comes the time, so that a heartbeat need not ask for it as well. There may be
# many rows of ended processes: the index sisy_process_registered skips them. Each page that a look
# reads counts, since every heartbeat looks all the time. So the rows of the registered processes
# are read once for all questions. The condition on the key of the task, which is always true,
# makes PostgreSQL read the row itself. To answer from the index alone, it would also have to read
# a page of the visibility map.
LOOK_AHEAD = Statement(f"""
    SELECT
        ({FIRST_UNPLANNED}) IS NOT NULL,
        (
            SELECT next_run FROM sisy_task
            WHERE state = 'active' AND next_run >= %(due_since)s AND id > 0
            ORDER BY next_run LIMIT 1
        ) {{as_utc}},
        (
            SELECT MIN(ready_at) FROM sisy_queued_run
            WHERE is_delayed AND NOT is_ahead AND ready_at > %(since)s
        ) {{as_utc}},
        registered.has_seen_end,
        registered.first_expiry {{as_utc}},
        registered.last_expiry {{as_utc}},
        (
            SELECT MIN(next_attempt_at) FROM sisy_outbox
            WHERE next_attempt_at >= %(messages_since)s
        ) {{as_utc}},
        {{clock}}
    FROM (
        SELECT
            MAX(CASE WHEN end_reason <> '' THEN 1 ELSE 0 END) AS has_seen_end,
            MIN(lease_until) AS first_expiry,
            MAX(lease_until) AS last_expiry,
            MAX(CASE WHEN id = %(process)s THEN 1 ELSE 0 END) AS is_registered
        FROM sisy_process WHERE ended_at IS NULL
    ) AS registered
    WHERE registered.is_registered = 1
""")

# A look passes over messages that have been due for longer, so that it never reads the entries of
# messages that were sent long ago. Their sender finds them once a minute.
MESSAGE_WINDOW = timedelta(seconds=30)


def lock_due_tasks(
    using: str,
    model: type[M],
    now: datetime,
    limit: int,
    defer: frozenset[str] = frozenset(),
    since: datetime = BEGINNING,
) -> list[M]:
    """Lock due tasks that no other transaction has locked; the longest due come first.

    Args:
        defer: the names of fields that planning does not need.
        since: tasks that were due before this moment are left out.
    """
    return LOCK_DUE_TASKS.records(using, model, defer=defer, now=now, limit=limit, since=since)


def any_due(using: str, now: datetime, since: datetime = BEGINNING) -> bool:
    """Return whether a task is due, even if another transaction has locked it."""
    return bool(ANY_DUE.rows(using, now=now, since=since))


def any_unplanned(using: str) -> bool:
    """Return whether the next occurrence of any active task has yet to be computed."""
    return bool(ANY_UNPLANNED.rows(using))


def look_ahead(
    using: str, process: int, since: datetime, due_since: datetime = BEGINNING
) -> tuple[Any, ...] | None:
    """Return what decides when the next tick is needed; None if the process is not registered.

    Args:
        since: runs that became ready before this moment are left out.
        due_since: tasks that are due before this moment are left out.

    Returns:
        Whether a task has yet to be planned, when the next task is due, when the next run is
        ready, whether a process was reported dead, when the first and the last lease end, and when
        the next message is to be sent.
    """
    asked = clock.steady()
    found = LOOK_AHEAD.rows(
        using,
        process=process,
        since=since,
        due_since=due_since,
        messages_since=since - MESSAGE_WINDOW,
    )
    answered = clock.steady()
    for *row, now in found:
        clock.note(using, now, asked, answered)
        return tuple(bool(one) if isinstance(one, int) else one and moment_of(one) for one in row)
    return None


def moment_of(value: datetime | str) -> datetime:
    """Return a moment that the database returned: UTC without a zone, and text on SQLite."""
    return datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
