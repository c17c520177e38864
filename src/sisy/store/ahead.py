"""The statements with which runs are planned ahead, and found again if their task was changed."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models

from sisy import conf
from sisy.records.instances import M
from sisy.store.statements import Statement

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
# index. A run that has started keeps what it copied.
OUTDATED = """
    SELECT DISTINCT entry.task_id FROM sisy_queued_run entry
    JOIN sisy_run ON sisy_run.id = entry.run_id
    JOIN sisy_task ON sisy_task.id = entry.task_id
    WHERE entry.is_delayed AND entry.is_ahead AND entry.ready_at > %(now)s
        AND sisy_run.attempt = 0
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
