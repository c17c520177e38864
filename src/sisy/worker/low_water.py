"""Remember up to which position the queues are empty, so that claims begin there.

A deleted entry stays in the index until no transaction can see it any more. While a backup or a
report holds an old snapshot, they pile up, and a claim that began at the first one would read more
of them each second. So it begins at a low-water mark, of which there is one for each queue and
priority:

    entries   x x x x x x x x x . . . . . . .      x  deleted    .  queued
                              ^
                              the mark: claims begin here

A mark can be too high: a run may be stored late in a long transaction, or be queued again after
its worker died, or the clock may be set back. So the marks are renewed from the whole queue every
two seconds, or half a second after the last time if a worker was rung and finds nothing. A wrong
mark delays a run by that much. It never loses one.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sisy.models import Run, RunState
from sisy.runtime.loop import Renewal
from sisy.store.claims import Level, first_of_each_priority
from sisy.store.statements import MARK_SLACK

DEFAULT_PRIORITY = 0


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
        self._levels: dict[str, dict[int, Level]] = {}
        self.renewal = Renewal()

    def levels(self, queue: str) -> list[Level]:
        """Return the levels of a queue that may have entries, the highest priority first."""
        known = self._levels.setdefault(queue, {DEFAULT_PRIORITY: Level(queue)})
        return [known[priority] for priority in sorted(known, reverse=True)]

    def renew(self, queues: Sequence[str], now: datetime) -> bool:
        """Renew the marks from the whole queues. Return whether any run is ready."""
        self.renewal.begin()
        any_ready = False
        for queue in queues:
            found = first_of_each_priority(self._using, queue, self._engine)
            any_ready = any_ready or any(level.since <= now for level in found)
            known = {level.priority for level in (*self.levels(queue), *found)}
            latest = {priority: Level(queue, priority, now - MARK_SLACK) for priority in known}
            # The first run may be delayed, and others become ready before it.
            first = {
                level.priority: min(level, latest[level.priority], key=_position)
                for level in found
            }
            self._levels[queue] = latest | first
        self.renewal.end()
        return any_ready

    def advance(self, level: Level, locked: Sequence[Run], now: datetime) -> None:
        """Move the mark of a level behind the runs that a claim has taken from it.

        Args:
            locked: the first ready runs of the level, in their order, as the claim has left them.
        """
        latest = replace(level, since=now - MARK_SLACK, since_run=0)
        mark = latest
        if locked:
            first = next((run for run in locked if run.state == RunState.QUEUED), locked[-1])
            mark = replace(level, since=first.ready_at, since_run=first.pk)
        self._levels[level.queue][level.priority] = min(mark, latest, key=_position)


def _position(level: Level) -> tuple[datetime, int]:
    return level.since, level.since_run
