"""The statements with which a heartbeat looks ahead, finds due tasks, and plans tasks ahead.

Each of them reads the first entries of one index, however many rows there are.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models

from sisy import clock, conf
from sisy.records.fields import moment_of
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
# registered. It also has the time, so that a heartbeat does not have to ask for it. There may be
# many rows of ended processes: the index sisy_process_registered skips them. Each page that a look
# reads counts, since every heartbeat looks all the time. So the rows of the registered processes
# are read once for all questions. The condition on the runs of the task, which is always true,
# makes PostgreSQL read the row itself. To answer from the index alone, it would also have to read
# a page of the visibility map. No index has this column: with one that has, PostgreSQL reads and
# sorts all tasks if there were few when it last counted them.
LOOK_AHEAD = Statement(f"""
    SELECT
        ({FIRST_UNPLANNED}) IS NOT NULL,
        (
            SELECT next_run FROM sisy_task
            WHERE state = 'active' AND next_run >= %(due_since)s AND runs_planned >= 0
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

# Only tasks that can be planned ahead: see `sisy.heartbeat.plan_ahead`.
LOCK_TASKS_AHEAD = Statement("""
    SELECT {columns} FROM sisy_task
    WHERE state = 'active' AND next_run > %(now)s AND next_run <= %(until)s
        AND (planned_until IS NULL OR planned_until < next_run)
        AND spread = %(no_spread)s AND engine {in_engines} AND id {not_in_left_out}
    ORDER BY next_run, id
    LIMIT %(limit)s
    {skip_locked}
""")

# The entries of runs that were planned ahead and are not due yet are few, and the first ones of an
# index. A run that has started keeps what it copied. A task retires when its last run is due: if
# it has, the transaction that asks has read the clock earlier.
OUTDATED = """
    SELECT DISTINCT entry.task_id FROM sisy_queued_run entry
    JOIN sisy_run ON sisy_run.id = entry.run_id
    JOIN sisy_task ON sisy_task.id = entry.task_id
    WHERE entry.is_delayed AND entry.is_ahead AND entry.ready_at > %(now)s
        AND sisy_run.attempt = 0 AND sisy_task.state <> 'retired'
        AND (
            sisy_task.state <> 'active' OR sisy_task.next_run IS NULL
            OR sisy_task.label <> sisy_run.label
            OR sisy_task.target_path <> sisy_run.target_path
            OR COALESCE(sisy_task.target_pk, '') <> COALESCE(sisy_run.target_pk, '')
            OR sisy_task.queue <> sisy_run.queue OR sisy_task.priority <> sisy_run.priority
            OR sisy_task.engine {not_in_engines} OR sisy_task.spread <> %(no_spread)s
            OR sisy_task.runs_planned > sisy_task.iterations
        )
"""
ALL_OUTDATED = Statement(OUTDATED)
OUTDATED_OF_TASKS = Statement(f"{OUTDATED} AND entry.task_id {{in_tasks}}")


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
        the next message is due.
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


def lock_tasks_ahead(
    using: str,
    model: type[M],
    now: datetime,
    until: datetime,
    limit: int,
    defer: frozenset[str],
    left_out: Collection[int],
) -> list[M]:
    """Lock tasks that fall due after ``now`` and up to ``until``, the first ones first.

    Tasks with a ``spread`` and those of other engines are left out, and so are those whose last
    occurrence is planned already, and those that another transaction has locked.

    Args:
        left_out: the keys of further tasks that are left out.
    """
    return LOCK_TASKS_AHEAD.records(
        using,
        model,
        defer=defer,
        now=now,
        until=until,
        limit=limit,
        **_natively(using, model),
        left_out=list(left_out),
    )


def outdated_tasks(
    using: str, model: type[models.Model], now: datetime, tasks: Sequence[int] | None = None
) -> list[int]:
    """Return the keys of tasks that were changed after runs of them were planned ahead.

    Args:
        tasks: the keys of the tasks to check; by default, all.
    """
    values = {"now": now, **_natively(using, model)}
    if tasks is None:
        rows = ALL_OUTDATED.rows(using, **values)
    else:
        rows = OUTDATED_OF_TASKS.rows(using, tasks=list(tasks), **values)
    return sorted(task for (task,) in rows)


def _natively(using: str, model: type[models.Model]) -> dict[str, Any]:
    """Return the values of tasks that can be planned ahead."""
    spread: models.Field[Any, Any] = model._meta.get_field("spread")  # type: ignore[assignment]
    return {
        "no_spread": spread.get_db_prep_value(timedelta(0), connections[using]),
        "engines": sorted(conf.get_settings().native_engines),
    }
