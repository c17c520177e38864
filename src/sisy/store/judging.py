"""The statements with which a heartbeat finds reasons for alerts.

`look` asks once for all kinds of problems, by index probes: where nothing is wrong, nothing else
is read. The other statements read a bounded number of rows, whatever the length of the ledger.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from sisy.records.choices import FAILED_STATES, RunState
from sisy.records.fields import moment_of
from sisy.store.statements import Statement

JUDGED_STATES = (*FAILED_STATES, RunState.MISSED)
"""The states of runs that may be a reason for an alert."""

MAX_RUNS_OF_TASK = 1000  # newest runs of a task among which its latest finished ones are found
MAX_RUNS_OF_CALLS = 5000  # newest runs of the ledger, for functions that are called without a task
TASKS_AT_ONCE = 50


def _in_sql(states: Collection[str]) -> str:
    return ", ".join(f"'{RunState(state).value}'" for state in states)


ENDED = _in_sql((RunState.SUCCEEDED, *FAILED_STATES))


def _is_any(source: str) -> str:
    """Return a condition: whether there is a row, which is the first one of an index."""
    # Not EXISTS, which drops the order. If PostgreSQL expects many such rows, from statistics that
    # are old, it would read the table from its beginning until it finds one.
    return f"(SELECT 1 FROM {source} LIMIT 1) IS NOT NULL"


def _unjudged(state: RunState) -> str:
    # A range, because the order of a column that equals a constant means nothing.
    return (
        "sisy_troubled_run WHERE is_judged = FALSE "
        f"AND state BETWEEN '{state.value}' AND '{state.value}' ORDER BY state"
    )


IS_UNJUDGED = " OR ".join(_is_any(_unjudged(RunState(state))) for state in JUDGED_STATES)

# Two conditions: with OR in one, no order of the index would lead to the first match.
IS_SILENT = " OR ".join(
    _is_any(
        f"sisy_task WHERE success_every IS NOT NULL AND {moment} AND state = 'active' "
        "ORDER BY silent_at"
    )
    for moment in ("silent_at IS NULL", "silent_at <= %(now)s")
)

LOOK = Statement(f"""
    SELECT
        {IS_UNJUDGED},
        {_is_any("sisy_task WHERE state = 'broken' ORDER BY next_run")},
        {_is_any("sisy_task WHERE start_within IS NOT NULL ORDER BY start_within")},
        {_is_any("sisy_task WHERE expected_duration IS NOT NULL ORDER BY expected_duration")},
        {_is_any("sisy_task WHERE stalled_after IS NOT NULL ORDER BY stalled_after")},
        {IS_SILENT},
        {_is_any("sisy_queued_run WHERE engine = '' AND queue > '' ORDER BY queue")},
        {_is_any("sisy_alert WHERE open_key > '' ORDER BY open_key")},
        (SELECT notify_at FROM sisy_alert WHERE notify_at IS NOT NULL ORDER BY notify_at LIMIT 1)
        {{as_utc}}
""")

UNJUDGED = Statement(
    " UNION ALL ".join(
        f"SELECT run_id FROM (SELECT run_id FROM {_unjudged(RunState(state))} LIMIT %(most)s) "
        f"AS {state}_runs"
        for state in JUDGED_STATES
    )
)

# An index leads to the newest runs of one task, so each task has a query of its own. It reads a
# limited number of runs: most of them may have been skipped.
LATEST_OF_A_TASK = """
    SELECT * FROM (
        SELECT task_id, id, state, finished_at {{as_utc}} FROM (
            SELECT task_id, id, state, finished_at FROM sisy_run
            WHERE task_id = %(task_{n})s {bound} ORDER BY id DESC LIMIT %(most)s
        ) AS newest_{n}
        WHERE state IN ({states}) ORDER BY id DESC LIMIT %(count_{n})s
    ) AS latest_{n}
"""

# Runs without a task have no index by their function, so only the newest ones are read.
LATEST_OF_CALLS = Statement(f"""
    SELECT target_path, id, state, finished_at {{as_utc}} FROM (
        SELECT target_path, id, state, finished_at FROM sisy_run ORDER BY id DESC LIMIT %(most)s
    ) AS newest
    WHERE state IN ({ENDED}) AND target_path {{in_paths}}
    ORDER BY id DESC
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """The kinds of problems that a look found reasons for.

    Attributes:
        next_message: when the next message about an alert is due; None if none is.
    """

    has_unjudged: bool
    has_broken: bool
    has_start_within: bool
    has_expected_duration: bool
    has_stalled_after: bool
    has_silent: bool
    has_queued: bool
    has_open: bool
    next_message: datetime | None


NAMES = tuple(field.name for field in fields(Reasons))


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished run, as far as judging needs it."""

    pk: int
    state: str
    finished_at: datetime | None

    @property
    def is_success(self) -> bool:
        """Return whether it succeeded."""
        return self.state == RunState.SUCCEEDED


def look(using: str, now: datetime) -> Reasons:
    """Return, by one statement, which kinds of problems there may be."""
    [(*found, next_message)] = LOOK.rows(using, now=now)
    moment = None if next_message is None else moment_of(next_message)
    are_there = dict(zip(NAMES, map(bool, found), strict=False))
    return Reasons(**are_there, next_message=moment)


def unjudged(using: str, most: int) -> list[int]:
    """Return the keys of runs that ended badly and were not judged, ``most`` at the most."""
    return [run for (run,) in UNJUDGED.rows(using, most=most)][:most]


def latest_ended(
    using: str,
    counts: Mapping[int, int],
    *,
    only_success: bool = False,
    up_to: Mapping[int, int] | None = None,
) -> dict[int, list[Ended]]:
    """Return the latest finished runs of tasks, the newest first.

    Args:
        counts: by the key of a task, how many of its runs to return at most.
        only_success: whether to return only runs that succeeded.
        up_to: by the key of each of these tasks, the key of the newest run to return, if there
            may be later ones.
    """
    found: dict[int, list[Ended]] = defaultdict(list)
    states = _in_sql([RunState.SUCCEEDED]) if only_success else ENDED
    bound = "" if up_to is None else "AND id <= %(up_to_{n})s"
    text = LATEST_OF_A_TASK.replace("{bound}", bound)
    pairs = sorted(counts.items())
    for start in range(0, len(pairs), TASKS_AT_ONCE):
        some = pairs[start : start + TASKS_AT_ONCE]
        each = [text.format(n=n, states=states) for n in range(len(some))]
        named = {f"task_{n}": task for n, (task, _) in enumerate(some)}
        limits = {f"count_{n}": count for n, (_, count) in enumerate(some)}
        if up_to is not None:
            limits |= {f"up_to_{n}": up_to[task] for n, (task, _) in enumerate(some)}
        statement = Statement(" UNION ALL ".join(each))
        for task, *run in statement.rows(using, most=MAX_RUNS_OF_TASK, **named, **limits):
            found[task].append(_ended(*run))
    return {task: sorted(runs, key=lambda run: -run.pk) for task, runs in found.items()}


def latest_of_calls(using: str, paths: Collection[str]) -> dict[str, list[Ended]]:
    """Return the finished runs that call functions, by path, among the newest of the ledger."""
    found: dict[str, list[Ended]] = defaultdict(list)
    rows = LATEST_OF_CALLS.rows(using, paths=list(paths), most=MAX_RUNS_OF_CALLS) if paths else []
    for path, *run in rows:
        found[path].append(_ended(*run))
    return found


def _ended(pk: int, state: str, finished_at: datetime | str | None) -> Ended:
    return Ended(pk, state, None if finished_at is None else moment_of(finished_at))
