"""The outcomes of the runs of a task, day by day.

Sisy keeps no counts by day: they would be a further write for each run. So the newest runs of the
task are read, up to a limit of runs and time, and the days that these cover are complete. For
earlier days, the entries of runs that ended without success are read. They are few, and say which
days had any.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo

from sisy import clock
from sisy.models import Run, RunState, Task
from sisy.records.choices import FAILED_STATES
from sisy.records.small_tables import TroubledRun

MAX_RUNS_READ = 4000  # newest runs
MAX_SECONDS = 0.1  # the runs of a task are far apart in the ledger, and may not be in memory
BATCH = 1000  # runs of one statement; the time is read between two statements
MAX_TROUBLED_READ = 2000  # newest entries


Row = tuple[int, str, datetime | None, int]
"""The key, the state, the end and the number of occurrences of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The occurrences of a task that ended on a day.

    Attributes:
        states: their number by state.
        is_complete: whether successful ones are counted as well.
    """

    states: Counter[str] = field(default_factory=Counter)
    is_complete: bool

    @property
    def failed(self) -> int:
        return sum(self.states[state] for state in FAILED_STATES)

    @property
    def succeeded(self) -> int:
        return self.states[RunState.SUCCEEDED]

    @property
    def missed(self) -> int:
        return self.states[RunState.MISSED]

    @property
    def others(self) -> int:
        """The number of occurrences that were missed, skipped or cancelled."""
        return sum(self.states.values()) - self.failed - self.succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The days of a task, and how far back they were counted.

    Attributes:
        by_date: the days on which any run ended.
        complete_since: the first complete day; None if no run is older than those that were read.
        known_since: the first day whose unsuccessful runs are known; None in the same case.
        runs: the number of runs that were read.
    """

    by_date: Mapping[date, Day]
    complete_since: date | None
    known_since: date | None
    runs: int

    def at(self, day: date) -> Day | None:
        """Return a day; None if nothing is known about it."""
        if found := self.by_date.get(day):
            return found
        if self.known_since is not None and day < self.known_since:
            return None
        return Day(is_complete=self.complete_since is None or day >= self.complete_since)


def days_of(using: str, task: Task, zone: tzinfo) -> Days:
    """Return how the newest runs of a task ended on each day.

    Args:
        zone: the zone that decides on which day a run ended.
    """
    rows, are_all = _newest(using, task)
    states: dict[date, Counter[str]] = defaultdict(Counter)
    oldest = None
    for _, state, finished_at, count in rows:
        if finished_at is not None:
            oldest = _day_of(finished_at, zone)
            states[oldest][state] += count
    complete_since = known_since = None
    if not are_all and oldest is not None:
        # The day of the oldest run is only partly read.
        complete_since = oldest + timedelta(days=1)
        known_since = _add_troubled(using, task, rows[-1][0], zone, states)
    return Days(
        by_date={
            day: Day(states=counted, is_complete=complete_since is None or day >= complete_since)
            for day, counted in states.items()
        },
        complete_since=complete_since,
        known_since=known_since,
        runs=len(rows),
    )


def _newest(using: str, task: Task) -> tuple[list[Row], bool]:
    """Return the newest runs of a task, and whether there are no older ones."""
    began = clock.steady()
    runs = Run.objects.using(using).filter(task=task).order_by("-pk")
    rows: list[Row] = []
    while True:
        batch = min(BATCH, MAX_RUNS_READ - len(rows))
        older = runs.filter(pk__lt=rows[-1][0]) if rows else runs
        read = older.values_list("pk", "state", "finished_at", "count")[:batch]
        found = len(rows)
        rows += read
        if len(rows) - found < batch:
            return rows, True
        if len(rows) >= MAX_RUNS_READ or clock.steady() - began >= MAX_SECONDS:
            return rows, False


def _add_troubled(
    using: str,
    task: Task,
    before: int,
    zone: tzinfo,
    states: Mapping[date, Counter[str]],
) -> date | None:
    """Count the troubled runs before a key, and return the first day without gaps."""
    entries = TroubledRun.objects.using(using).filter(task_id=task.pk, run_id__lt=before)
    newest = entries.order_by("-run_id").values_list("run_id", "state", "finished_at")
    read = newest[:MAX_TROUBLED_READ]
    rows = [(key, state, at) for key, state, at in read if at is not None]
    # An entry has no number of occurrences. Only a row of missed ones represents several.
    missed = [key for key, state, _ in rows if state == RunState.MISSED]
    gaps = Run.objects.using(using).filter(pk__in=missed, count__gt=1)
    counts = dict(gaps.values_list("pk", "count")) if missed else {}
    for key, state, finished_at in rows:
        states[_day_of(finished_at, zone)][state] += counts.get(key, 1)
    if len(rows) == MAX_TROUBLED_READ:
        return _day_of(rows[-1][2], zone) + timedelta(days=1)
    return None


def _day_of(moment: datetime, zone: tzinfo) -> date:
    return moment.astimezone(zone).date()
