"""The statements that find where the queued runs of each queue and priority begin.

A *level* is the queued runs of one queue with one priority. `first_of_each_priority` reads a queue
from its beginning. While a snapshot is held, it reads each deleted entry again, so that it takes
longer each time. On PostgreSQL, a caller who has read the queues once can read what has changed
since instead:

1. `new_entries` reads the entries of all transactions that the earlier reading could not see. Each
   entry has the number of its transaction, and an index finds it by that number. The snapshot of a
   reading tells which transactions it could not see: those that were in progress, and later ones.
2. `first_since` reads each level from where it began then, or from a new entry before that.

No entry is before those positions: the earlier reading found none, and only transactions that it
could not see have added any since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connections

from sisy import clock
from sisy.records.fields import moment_of
from sisy.schedules.calendar import TICK
from sisy.store.statements import BEGINNING, Statement

LARGEST_PRIORITY = 32767

# Two looks at the index. In the order of both, the priority that falls and the moment that rises,
# the database would have to sort the whole queue.
FIRST_OF_NEXT_PRIORITY = Statement("""
    SELECT priority, ready_at {as_utc}, run_id FROM sisy_queued_run
    WHERE engine = %(engine)s AND queue = %(queue)s AND priority = (
        SELECT priority FROM sisy_queued_run
        WHERE engine = %(engine)s AND queue = %(queue)s AND priority < %(priority)s
        ORDER BY priority DESC
        LIMIT 1
    )
    ORDER BY ready_at, run_id
    LIMIT 1
""")

NEXT_QUEUE = Statement("""
    SELECT queue FROM sisy_queued_run
    WHERE engine = '' AND queue > %(queue)s
    ORDER BY queue
    LIMIT 1
""")

SNAPSHOT = Statement("SELECT pg_current_snapshot()::text")

# Each condition leads PostgreSQL to the index of transactions, whatever its statistics say. Beside
# a condition for the engine or the queue, it would read the queue from its beginning. From the
# first condition without an upper bound, it would expect a third of all entries, if the table was
# never analysed. The first table is for the snapshot and the time, which are returned even if
# nothing is new.
NEW_ENTRIES = Statement("""
    SELECT pg_current_snapshot()::text, {clock}, level.*
    FROM (VALUES (1)) AS always LEFT JOIN (
        SELECT engine, queue, priority, MIN(ready_at) AT TIME ZONE 'UTC' FROM (
            SELECT engine, queue, priority, ready_at FROM sisy_queued_run
            WHERE transaction_id BETWEEN pg_snapshot_xmax(%(seen)s::pg_snapshot)
                AND '18446744073709551615'::xid8
            UNION ALL
            SELECT engine, queue, priority, ready_at FROM sisy_queued_run
            WHERE transaction_id = ANY(ARRAY(SELECT pg_snapshot_xip(%(seen)s::pg_snapshot)))
        ) AS entry
        GROUP BY engine, queue, priority
    ) AS level ON true
""")

FIRST_SINCE = """
    (
        SELECT queue, priority, ready_at AT TIME ZONE 'UTC', run_id FROM sisy_queued_run
        WHERE engine = %(engine)s AND queue = %(queue_{n})s AND priority = %(priority_{n})s
            AND (ready_at, run_id) >= (%(since_{n})s, %(since_run_{n})s)
        ORDER BY ready_at, run_id
        LIMIT 1
    )
"""

# MariaDB finds the position only by the last condition.
FIRST_OF_LEVEL = """
    SELECT ready_at {{as_utc}} FROM (
        SELECT ready_at FROM sisy_queued_run
        WHERE engine = '' AND queue = %(queue_{n})s AND priority = %(priority_{n})s
            AND (ready_at, run_id) >= (%(since_{n})s, %(since_run_{n})s)
            AND ready_at >= %(since_{n})s
        ORDER BY ready_at, run_id
        LIMIT 1
    ) AS level_{n}
"""


@dataclass(frozen=True, slots=True)
class Level:
    """The queued runs of a queue with one priority, from a position on.

    Attributes:
        since: the position, by ``ready_at``.
        since_run: the position by the key, among runs that are ready at the same moment.
    """

    queue: str
    priority: int = 0
    since: datetime = BEGINNING
    since_run: int = 0


def position(level: Level) -> tuple[datetime, int]:
    """Return what orders the positions of a level."""
    return level.since, level.since_run


def ready_moments(
    using: str, levels: Sequence[Level], now: datetime
) -> tuple[bool, datetime | None]:
    """Return whether a run of these levels is ready, and when the next one becomes ready.

    Only runs of Sisy's own workers count.
    """
    both = [*levels, *(replace(level, since=now + TICK, since_run=0) for level in levels)]
    each = [FIRST_OF_LEVEL.format(n=n) for n in range(len(both))]
    statement = Statement(" UNION ALL ".join(each))
    found = statement.rows(using, **_numbered(both)) if each else []
    moments = [moment_of(ready_at) for (ready_at,) in found]
    next_ready = min((moment for moment in moments if moment > now), default=None)
    return any(moment <= now for moment in moments), next_ready


def queues_with_runs(using: str) -> list[str]:
    """Return the names of the queues in which runs wait for Sisy's own workers."""
    names = [""]
    while found := NEXT_QUEUE.rows(using, queue=names[-1]):
        names += found[0]
    return names[1:]


def first_of_each_priority(using: str, queue: str, engine: str = "") -> list[Level]:
    """Return a level for each priority that queued runs of a queue have, at its first run.

    Unlike a claim, this reads the whole queue from its beginning.
    """
    levels: list[Level] = []
    below = LARGEST_PRIORITY + 1
    while found := FIRST_OF_NEXT_PRIORITY.rows(using, engine=engine, queue=queue, priority=below):
        ((below, ready_at, run),) = found
        levels.append(Level(queue, below, moment_of(ready_at), run))
    return levels


def current_snapshot(using: str) -> str | None:
    """Return which transactions are visible now, for `new_entries`; None if it cannot be used.

    Only PostgreSQL can say that. In a transaction, its answer leaves out this transaction.
    """
    connection = connections[using]
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        return None
    [(snapshot,)] = SNAPSHOT.rows(using)
    return str(snapshot)


def new_entries(using: str, seen: str, engine: str = "") -> tuple[str, list[Level]]:
    """Return the snapshot of this reading, and where the entries begin that an earlier one missed.

    Args:
        seen: the snapshot of the earlier reading, or an earlier snapshot.
    """
    asked = clock.steady()
    rows = NEW_ENTRIES.rows(using, seen=seen)
    clock.note(using, rows[0][1], asked, clock.steady())
    levels = [
        Level(queue, priority, moment_of(first_at))
        for _, _, of_engine, queue, priority, first_at in rows
        if of_engine == engine
    ]
    return str(rows[0][0]), levels


def first_since(using: str, levels: Sequence[Level], engine: str = "") -> list[Level]:
    """Return those of ``levels`` that have runs from their position on, at the first one."""
    each = [FIRST_SINCE.format(n=n) for n in range(len(levels))]
    statement = Statement(" UNION ALL ".join(each))
    rows = statement.rows(using, engine=engine, **_numbered(levels)) if each else []
    return [
        Level(queue, priority, moment_of(ready_at), run) for queue, priority, ready_at, run in rows
    ]


def _numbered(levels: Sequence[Level]) -> Mapping[str, Any]:
    """Return the values of levels under the names that have their number at the end."""
    return {
        f"{name}_{n}": value
        for n, level in enumerate(levels)
        for name, value in asdict(level).items()
    }
