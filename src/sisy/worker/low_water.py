"""Remember up to which position the queues are empty, so that claims begin there.

A deleted entry stays in the index until no transaction can see it any more. While a backup or a
report holds an old snapshot, they pile up, and a claim that began at the first one would read more
of them each second. So it begins at a low-water mark. There is one for each queue and priority:

    entries   x x x x x x x x x . . . . . . .      x  deleted    .  queued
                              ^
                              the mark: claims begin here

A mark can be too high: a run may be stored late in a long transaction, or be queued again after
its worker died, or the clock may be set back. So the marks are renewed every two seconds, or half
a second after the last time if a worker was rung and finds nothing. A wrong mark delays a run by
that much. It never loses one.

On PostgreSQL, a renewal reads only what has changed since the last one: see `sisy.store.levels`.
It begins where the last one has left each mark, not where claims have moved it since: claims pass
over runs that other workers have locked. Once a minute, and always on other databases, it reads
the whole queues. No run needs that, unless the database itself has lost its place: for example, a
replica without the last transactions has taken over, or rows were restored from a backup.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sisy.models import Run, RunState
from sisy.runtime.loop import Renewal
from sisy.store import levels
from sisy.store.levels import Level, position
from sisy.store.statements import MARK_SLACK

DEFAULT_PRIORITY = 0
WHOLE_INTERVAL = 60.0  # seconds between two renewals that read the whole queues, on PostgreSQL

Marks = dict[str, dict[int, Level]]
"""Positions by queue and priority."""


class LowWaterMarks:
    """The low-water marks of one worker's queues.

    Args:
        using: the alias of the database.
        engine: the engine whose runs it claims.

    Attributes:
        renewal: when to call `renew`.
    """

    def __init__(self, using: str, engine: str = "") -> None:
        self._using = using
        self._engine = engine
        self._levels: Marks = {}
        self._renewed: Marks = {}  # what the last renewal has set
        self._seen: str | None = None  # the snapshot of the last renewal, on PostgreSQL
        self._found: list[Level] = []  # by the last renewal
        self._whole = Renewal(WHOLE_INTERVAL)
        self.renewal = Renewal()

    def levels(self, queue: str) -> list[Level]:
        """Return the levels of a queue that may have entries, the highest priority first."""
        known = self._levels.setdefault(queue, {DEFAULT_PRIORITY: Level(queue)})
        return [known[priority] for priority in sorted(known, reverse=True)]

    def renew(self, queues: Sequence[str], now: datetime) -> list[datetime]:
        """Renew the marks. Return when the first run of each level is ready, in any order."""
        self.renewal.begin()
        seen, found = self._read(queues)
        for queue in queues:
            first = {level.priority: level for level in found if level.queue == queue}
            known = {level.priority for level in self.levels(queue)} | first.keys()
            latest = {priority: Level(queue, priority, now - MARK_SLACK) for priority in known}
            # The first run may be delayed, and others become ready before it.
            self._levels[queue] = {
                priority: min(first.get(priority, mark), mark, key=position)
                for priority, mark in latest.items()
            }
            self._renewed[queue] = dict(self._levels[queue])
        self._seen, self._found = seen, found
        self.renewal.end()
        return [level.since for level in found]

    def _read(self, queues: Sequence[str]) -> tuple[str | None, list[Level]]:
        """Return the levels that have runs, each at its first run, and the snapshot for that."""
        if self._seen is None or self._whole.is_due() or not self._renewed.keys() >= set(queues):
            return self._read_whole(queues)
        seen, new = levels.new_entries(self._using, self._seen, self._engine)
        new = [level for level in new if level.queue in queues]
        if not new and not self._found:
            return seen, []
        since = self._renewed_and(new)
        return seen, levels.first_since(self._using, since, self._engine)

    def _read_whole(self, queues: Sequence[str]) -> tuple[str | None, list[Level]]:
        self._whole.begin()
        # First: what becomes visible while the queues are read is new to the next renewal.
        seen = levels.current_snapshot(self._using)
        found = [
            level
            for queue in queues
            for level in levels.first_of_each_priority(self._using, queue, self._engine)
        ]
        self._whole.end()
        return seen, found

    def _renewed_and(self, new: Iterable[Level]) -> list[Level]:
        """Return the positions of the last renewal, or those of new entries before them."""
        since = {
            (level.queue, level.priority): level
            for known in self._renewed.values()
            for level in known.values()
        }
        for level in new:
            key = level.queue, level.priority
            since[key] = min(since.get(key, level), level, key=position)
        return list(since.values())

    def advance(self, level: Level, locked: Sequence[Run], now: datetime) -> None:
        """Move the mark of a level past the runs that a claim has taken from it.

        Args:
            locked: the first ready runs of the level, in their order, as the claim has left them.
        """
        latest = replace(level, since=now - MARK_SLACK, since_run=0)
        mark = latest
        if locked:
            first = next((run for run in locked if run.state == RunState.QUEUED), locked[-1])
            mark = replace(level, since=first.ready_at, since_run=first.pk)
        self._levels[level.queue][level.priority] = min(mark, latest, key=position)
