"""The statements that read the current state of a site for its metrics.

`STATE` reads everything that is small, in rows of the same five columns, so that one statement is
enough. It jumps from one queue and priority of the index to the next, and reads no run between
them. `ready_in` then counts the ready runs of each up to a limit, so that neither a backlog of a
million runs nor a million delayed ones make a scrape slow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sisy.records.fields import moment_of
from sisy.store.statements import Statement

MAX_COUNTED = 10_000  # ready runs of a queue with one priority

# Each part of a level is the next larger value of the index sisy_queued_claim. In the order of the
# index, one entry is enough, even if PostgreSQL expects that many match: for MIN, it would rather
# read a table that was small when it was last analysed. The run of each entry is looked up by
# itself, because a join might read the whole ledger if there were many entries not long ago.
STATE = """
    WITH RECURSIVE by_queue (engine, queue) AS (
        {first_queues}
        UNION ALL
        SELECT by_queue.engine, (
            SELECT entry.queue FROM sisy_queued_run entry
            WHERE entry.engine = by_queue.engine AND entry.queue > by_queue.queue
            ORDER BY entry.queue LIMIT 1
        )
        FROM by_queue WHERE by_queue.queue IS NOT NULL
    ),
    level (engine, queue, priority) AS (
        SELECT by_queue.engine, by_queue.queue, (
            SELECT entry.priority FROM sisy_queued_run entry
            WHERE entry.engine = by_queue.engine AND entry.queue = by_queue.queue
            ORDER BY entry.priority LIMIT 1
        )
        FROM by_queue WHERE by_queue.queue IS NOT NULL
        UNION ALL
        SELECT level.engine, level.queue, (
            SELECT entry.priority FROM sisy_queued_run entry
            WHERE entry.engine = level.engine AND entry.queue = level.queue
                AND entry.priority > level.priority
            ORDER BY entry.priority LIMIT 1
        )
        FROM level WHERE level.priority IS NOT NULL
    )
    SELECT 'level', level.engine, level.queue, level.priority, (
        SELECT entry.ready_at FROM sisy_queued_run entry
        WHERE entry.engine = level.engine AND entry.queue = level.queue
            AND entry.priority = level.priority
        ORDER BY entry.ready_at LIMIT 1
    ) {{as_utc}}
    FROM level WHERE level.priority IS NOT NULL
    UNION ALL
    SELECT 'running', running.engine, running.queue, COUNT(*), NULL
    FROM (
        SELECT
            (SELECT engine FROM sisy_run WHERE id = entry.run_id) AS engine,
            (SELECT queue FROM sisy_run WHERE id = entry.run_id) AS queue
        FROM sisy_running_run entry
    ) AS running
    GROUP BY running.engine, running.queue
    UNION ALL
    SELECT 'process', role, CAST(queues AS {{text}}),
        CASE WHEN drain_requested_at IS NULL AND problem = '' THEN slots ELSE 0 END,
        lease_until {{as_utc}}
    FROM sisy_process WHERE ended_at IS NULL
    UNION ALL
    SELECT 'paused', '', name, 1, paused_at {{as_utc}} FROM sisy_queue WHERE paused_at IS NOT NULL
    UNION ALL
    SELECT 'due', '', '', 1, (
        SELECT next_run FROM sisy_task WHERE state = 'active' AND next_run <= %(now)s
        ORDER BY next_run LIMIT 1
    ) {{as_utc}}
    UNION ALL
    SELECT 'outbox', 'queued', '', COUNT(*), MIN(created_at) {{as_utc}} FROM sisy_outbox
    WHERE next_attempt_at IS NOT NULL
    UNION ALL
    SELECT 'outbox', 'failed', '', COUNT(*), MIN(created_at) {{as_utc}} FROM sisy_outbox
    WHERE failed_at IS NOT NULL
    UNION ALL
    SELECT 'alert', kind, '', COUNT(*), MIN(since) {{as_utc}} FROM sisy_alert
    WHERE open_key IS NOT NULL GROUP BY kind
"""

FIRST_QUEUE = """
    SELECT engine, queue FROM (
        SELECT engine, queue FROM sisy_queued_run
        WHERE engine = %(engine_{n})s ORDER BY queue LIMIT 1
    ) AS first_{n}
"""

TOTALS = Statement("""
    SELECT CAST(totals AS {text}) FROM sisy_tally WHERE layout = %(layout)s ORDER BY id
""")

READY = """
    SELECT %(engine_{n})s, %(queue_{n})s, COUNT(*) FROM (
        SELECT 1 FROM sisy_queued_run
        WHERE engine = %(engine_{n})s AND queue = %(queue_{n})s AND priority = %(priority_{n})s
            AND ready_at <= %(now)s
        ORDER BY ready_at
        LIMIT %(limit)s
    ) AS ready_{n}
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """A row of `STATE`.

    Attributes:
        kind: what it is about: ``level``, ``running``, ``process``, ``paused``, ``due``,
            ``outbox`` or ``alert``.
        group: the engine of runs, the role of a process, or the kind of an alert.
        name: the queue of runs, or the queues of a process as JSON.
        at: since when, or until when for a process; None if there is nothing.
    """

    kind: str
    group: str
    name: str
    number: int
    at: datetime | None


def read_state(using: str, now: datetime, engines: Sequence[str]) -> list[Fact]:
    """Return the current state of a site.

    Args:
        engines: the engines whose queues are read; empty for Sisy's own workers.
    """
    of_engines = {f"engine_{n}": engine for n, engine in enumerate(engines)}
    return [
        Fact(kind, group, name, number, at and moment_of(at))
        for kind, group, name, number, at in _state(len(engines)).rows(
            using, now=now, **of_engines
        )
        # A run that was deleted while it was running has left its entry.
        if group is not None
    ]


@lru_cache
def _state(engines: int) -> Statement:
    """Return `STATE` for this number of engines."""
    each = [FIRST_QUEUE.format(n=n) for n in range(engines)]
    return Statement(STATE.format(first_queues=" UNION ALL ".join(each)))


def totals_of(using: str, layout: int) -> list[str]:
    """Return all totals of a layout, as JSON."""
    return [totals for (totals,) in TOTALS.rows(using, layout=layout)]


def ready_in(using: str, levels: Sequence[Fact], now: datetime) -> list[tuple[str, str, int]]:
    """Return how many runs of each level are ready: the engine, the queue and the number.

    At most `MAX_COUNTED` runs of each are counted.
    """
    if not levels:
        return []
    values = {
        f"{name}_{n}": value
        for n, level in enumerate(levels)
        for name, value in (
            ("engine", level.group),
            ("queue", level.name),
            ("priority", level.number),
        )
    }
    each = [READY.format(n=n) for n in range(len(levels))]
    return [
        (str(engine), str(queue), int(number))
        for engine, queue, number in Statement(" UNION ALL ".join(each)).rows(
            using, now=now, limit=MAX_COUNTED, **values
        )
    ]
