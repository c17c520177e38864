"""The statements with which reports read many tasks at once."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connections

from sisy.records.fields import moment_of
from sisy.store.statements import Statement

MOMENT_TYPES = {"postgresql": "timestamp with time zone", "mysql": "datetime(6)", "sqlite": "text"}

# An index leads to the newest runs of one task. So each task has a query of its own, and all of
# them are parts of one statement.
NEWEST_OF_A_TASK = """
    SELECT id FROM (
        SELECT id FROM sisy_run WHERE task_id = %(task_{number})s AND id < %(before)s
        ORDER BY id DESC LIMIT %(count)s
    ) AS newest_{number}
"""

# No index has the runs that no schedule planned, so they are looked for among the newest ones.
UNPLANNED_OF_A_TASK = """
    SELECT task_id, started_at {{as_utc}} FROM (
        SELECT id, task_id, due_at, state, started_at FROM sisy_run
        WHERE task_id = %(task_{number})s ORDER BY id DESC LIMIT %(count)s
    ) AS newest_{number}
    WHERE due_at IS NULL AND state = 'succeeded'
        AND started_at >= %(start)s AND started_at < %(end)s
"""

# One row for each task and slice, instead of one condition for each slice: Django needs longer to
# put 96 conditions into SQL than the database needs to answer them. The index of the moments at
# which a task was due leads to the first of the runs of each slice.
SUCCEEDED_IN_SLICES = """
    SELECT task.id, slice.number, (
        SELECT run.due_at FROM sisy_run run
        WHERE run.task_id = task.id AND run.due_at >= slice.first AND run.due_at < slice.behind
            AND run.state = 'succeeded'
        ORDER BY run.due_at LIMIT 1
    ) {as_utc}
    FROM sisy_task task CROSS JOIN (SLICES) slice
    WHERE task.id {in_tasks}
"""
SLICE = (
    "SELECT {n} AS number, CAST(%(edge_{n})s AS {type}) AS first, "
    "CAST(%(edge_{m})s AS {type}) AS behind"
)

AFTER_ALL = 2**63 - 1

# Keys grow with the moments at which runs were planned, and no index contains these moments. So
# one statement halves the range of all keys until one key is left: about 30 times, with two
# lookups in the primary key each time.
PLANNED_FROM_MIDDLE = """
    (SELECT planned_at FROM sisy_run WHERE id >= ((low + high) >> 1) ORDER BY id LIMIT 1)
"""
# Two queries for the first and the last key: for both in one, SQLite reads all rows.
KEY_AT = Statement(f"""
    WITH RECURSIVE search (low, high) AS (
        SELECT (SELECT MIN(id) FROM sisy_run), (SELECT MAX(id) FROM sisy_run) + 1
        UNION ALL
        SELECT
            CASE WHEN {PLANNED_FROM_MIDDLE} < %(moment)s
                THEN ((low + high) >> 1) + 1 ELSE low END,
            CASE WHEN {PLANNED_FROM_MIDDLE} < %(moment)s
                THEN high ELSE ((low + high) >> 1) END
        FROM search WHERE low < high
    )
    SELECT low FROM search WHERE low = high
""")

KEY_RANGE = Statement("SELECT MIN(id), MAX(id) FROM sisy_run")
PLANNED_FROM = Statement(
    "SELECT planned_at {as_utc} FROM sisy_run WHERE id >= %(key)s ORDER BY id LIMIT 1"
)

KEY_SLACK = timedelta(minutes=1)
"""By how much the keys may be out of order: a long transaction stores its runs late."""

# Rows of a small table, and what only the ledger knows about them. Each state has a query of its
# own, so that many runs in one state do not displace those in another.
NEWEST_TROUBLE = """
    SELECT newest_{number}.state, newest_{number}.finished_at {{as_utc}}, sisy_run.count
    FROM (
        SELECT run_id, state, finished_at FROM sisy_troubled_run
        WHERE state = %(state_{number})s ORDER BY run_id DESC LIMIT %(most)s
    ) AS newest_{number} {{join_in_order}} sisy_run ON sisy_run.id = newest_{number}.run_id
    WHERE newest_{number}.finished_at >= %(since)s
"""


# An index of the ledger contains how many runs a task has, but not their states. That is enough:
# those that have no entry in a small table have succeeded. Only runs that ended otherwise may
# represent several occurrences. One statement, so that it sees all tables at the same moment.
COUNTS_OF_TASK = Statement("""
    SELECT 'succeeded', COUNT(*), 0 FROM sisy_run WHERE task_id = %(task)s
    UNION ALL
    SELECT 'queued', COUNT(*), COALESCE(
        SUM(CASE WHEN is_ahead AND ready_at > %(now)s THEN 0 ELSE 1 END), 0
    )
    FROM sisy_queued_run WHERE task_id = %(task)s
    UNION ALL
    SELECT 'running', COUNT(*), COUNT(*) FROM sisy_running_run WHERE task_id = %(task)s
    UNION ALL
    SELECT entry.state, COUNT(*), SUM(sisy_run.count)
    FROM sisy_troubled_run entry {join_in_order} sisy_run ON sisy_run.id = entry.run_id
    WHERE entry.task_id = %(task)s
    GROUP BY entry.state
""")


def counts_of_task(using: str, task: int, now: datetime) -> dict[str, int]:
    """Return how many occurrences of a task are in the ledger, by the state of their runs.

    Those that were planned ahead and are not due yet are not counted.
    """
    (succeeded, number, _), *others = COUNTS_OF_TASK.rows(using, task=task, now=now)
    counts = {state: int(occurrences) for state, _, occurrences in others}
    counts[succeeded] = number - sum(runs for _, runs, _ in others)
    return {state: count for state, count in counts.items() if count}


def key_at(using: str, moment: datetime) -> int:
    """Return a key that divides the runs planned before a moment from those planned later.

    It is larger than all keys if no run was planned at the moment or later, and 0 if there are no
    runs. Keys are a little out of order: move the moment by `KEY_SLACK` to be sure of one side.
    After the clock was set back, several keys may fit, and one of them is returned.
    """
    if connections[using].vendor == "mysql":
        return _key_in_steps(using, moment)
    found = KEY_AT.rows(using, moment=moment)
    return int(found[0][0]) if found else 0


def _key_in_steps(using: str, moment: datetime) -> int:
    """Return the same as `KEY_AT`, with a statement for each step."""
    # Where the key depends on an outer row, MariaDB reads the primary key from its beginning.
    low, last = KEY_RANGE.rows(using)[0]
    if last is None:
        return 0
    high = last + 1
    while low < high:
        middle = (low + high) >> 1
        planned = PLANNED_FROM.rows(using, key=middle)
        if planned and moment_of(planned[0][0]) < moment:
            low = middle + 1
        else:
            high = middle
    return int(low)


def newest_trouble(
    using: str, states: Collection[str], since: datetime, most: int
) -> dict[str, list[tuple[datetime, int]]]:
    """Return, by state, when runs ended since a moment, and how many occurrences each represents.

    Args:
        states: states of runs that did not succeed.
        most: how many runs of each state are read at most, the newest ones.
    """
    each = [NEWEST_TROUBLE.format(number=number) for number in range(len(states))]
    named = {f"state_{number}": str(state) for number, state in enumerate(states)}
    rows = Statement(" UNION ALL ".join(each)).rows(using, since=since, most=most, **named)
    found: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for state, finished_at, count in rows:
        found[state].append((moment_of(finished_at), count))
    return found


def _for_each_task(
    using: str, query: str, tasks: Collection[int], **values: Any
) -> list[tuple[Any, ...]]:
    """Return the rows of a query that is repeated for each task, in one statement."""
    each = [query.format(number=number) for number in range(len(tasks))]
    keys = {f"task_{number}": task for number, task in enumerate(tasks)}
    return Statement(" UNION ALL ".join(each)).rows(using, **keys, **values)


def newest_keys(
    using: str, tasks: Collection[int], count: int, before: int = AFTER_ALL
) -> list[int]:
    """Return the keys of the newest ``count`` runs of each task, all together.

    Args:
        before: only runs with smaller keys.
    """
    rows = _for_each_task(using, NEWEST_OF_A_TASK, tasks, count=count, before=before)
    return [key for (key,) in rows]


def succeeded_unplanned(
    using: str, tasks: Collection[int], count: int, start: datetime, end: datetime
) -> list[tuple[int, datetime]]:
    """Return the task and the start of runs that succeeded, and that no schedule planned.

    Args:
        count: how many runs of each task are looked at, the newest ones.
        start: when they have started, at the earliest.
        end: the moment before which they have started.
    """
    rows = _for_each_task(using, UNPLANNED_OF_A_TASK, tasks, count=count, start=start, end=end)
    return [(task, moment_of(started_at)) for task, started_at in rows]


def succeeded_in_slices(
    using: str, tasks: Sequence[int], edges: Sequence[datetime]
) -> dict[tuple[int, int], datetime]:
    """Return when the first run that succeeded was due, by its task and the number of its slice.

    Args:
        edges: where the slices begin, and where the last one ends.
    """
    moment = MOMENT_TYPES[connections[using].vendor]
    slices = [SLICE.format(n=n, m=n + 1, type=moment) for n in range(len(edges) - 1)]
    text = SUCCEEDED_IN_SLICES.replace("SLICES", " UNION ALL ".join(slices))
    named = {f"edge_{number}": edge for number, edge in enumerate(edges)}
    rows = Statement(text).rows(using, tasks=tasks, **named)
    return {(task, number): moment_of(due_at) for task, number, due_at in rows if due_at}
