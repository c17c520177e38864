"""The statements with which retired tasks are deleted after their last run."""

from sisy.store.statements import Statement

ANY_RETIRED = Statement("""
    SELECT 1 FROM sisy_task WHERE id {in_tasks} AND state = 'retired' LIMIT 1
""")
LOCK_RETIRED = Statement("""
    SELECT id FROM sisy_task {by_key}
    WHERE id {in_tasks} AND state = 'retired'
    ORDER BY id
    {for_update}
""")

# With a limit, PostgreSQL looks for the entries of each task; without one, it may read them all.
# In the order of the key, it also does so if it expects that most entries are those of one task.
# Declared tasks stay: the next deploy would create them again, and they would run again.
ENDED = Statement("""
    SELECT id FROM sisy_task
    WHERE id {in_tasks} AND state = 'retired' AND declaration IS NULL
        AND (
            SELECT 1 FROM sisy_queued_run WHERE task_id = sisy_task.id
            ORDER BY run_id LIMIT 1
        ) IS NULL
        AND (
            SELECT 1 FROM sisy_running_run WHERE task_id = sisy_task.id
            ORDER BY run_id LIMIT 1
        ) IS NULL
    ORDER BY id
""")
DELETE = Statement("DELETE FROM sisy_task WHERE id {in_tasks}")


def any_retired(using: str, tasks: list[int]) -> bool:
    """Return whether any of these tasks has no occurrence left."""
    return bool(tasks and ANY_RETIRED.rows(using, tasks=tasks))


def lock_retired(using: str, tasks: list[int]) -> list[int]:
    """Lock those tasks that have no occurrence left, and return their keys."""
    return [pk for (pk,) in LOCK_RETIRED.rows(using, tasks=tasks)]


def ended_among(using: str, locked: list[int]) -> list[int]:
    """Return those of the locked tasks that have no queued or running run."""
    return [pk for (pk,) in ENDED.rows(using, tasks=locked)] if locked else []


def delete(using: str, tasks: list[int]) -> None:
    """Delete tasks, without signals. Rows that refer to them stay."""
    DELETE.change(using, tasks=tasks)
