"""When a worker's next run becomes ready, so that it can wake for it without a ring."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from sisy import clock
from sisy.lifecycle.transition import LONGEST_LEAD
from sisy.store.levels import Level, ready_moments
from sisy.store.statements import BEGINNING

# Seconds after a ring in which a worker that wins runs looks for those that become ready later.
LOOK_INTERVAL = 0.25


class Outlook:
    """Knows when the next run becomes ready, and whether to look again.

    Each look begins at the moment up to which all runs were claimed, or could not be. So no run is
    passed over that becomes ready between a claim and the look after it.

    Args:
        levels: returns the levels to look at.

    Attributes:
        next_ready: when the next run becomes, or became, ready; None if unknown.
        has_unseen_ring: whether a ring came since the last look. It may have announced a run that
            was planned ahead.
    """

    def __init__(self, using: str, levels: Callable[[], Sequence[Level]]) -> None:
        self._using = using
        self._levels = levels
        self._handled_until = BEGINNING
        self._tried_until = BEGINNING
        self._looked_at = 0.0
        self.next_ready: datetime | None = None
        self.has_unseen_ring = False

    def look(self, now: datetime) -> bool:
        """Find out when the next run after ``now`` becomes ready. Return whether any is ready."""
        is_ready, next_ready = ready_moments(self._using, self._levels(), now)
        self._note(next_ready)
        if not is_ready:
            self._handled_until = now
        return is_ready

    def look_again(self) -> None:
        """Find out the same for the time after the last claim."""
        self.look(self._handled_until)

    def is_look_due(self, *, has_won: bool) -> bool:
        """Return whether to look again after a claim.

        Args:
            has_won: whether the claim has won runs. If so, others may follow soon.
        """
        if self.next_ready is not None and self.next_ready <= self._handled_until:
            return True
        is_long_ago = clock.steady() - self._looked_at >= LOOK_INTERVAL
        return self.has_unseen_ring and (is_long_ago or not has_won)

    def note_ring(self) -> None:
        """Record that a run was queued, which may become ready later."""
        self.has_unseen_ring = True

    def note_firsts(self, moments: Collection[datetime], now: datetime) -> None:
        """Note when the first run of each level becomes ready, if none is ready now."""
        self._note(min(moments, default=None))
        self._handled_until = now

    def note_claim(self, now: datetime) -> None:
        """Record that the runs that were ready by ``now`` were claimed, or could not be."""
        self._handled_until = now

    def note_early_claim(self, until: datetime) -> None:
        """Record that the runs up to ``until`` were claimed early, or wait for their moment."""
        self._tried_until = until

    def is_ready(self, now: datetime) -> bool:
        """Return whether the next run has become ready."""
        return self.next_ready is not None and self.next_ready <= now

    def next_claim(self, now: datetime, lead: timedelta) -> datetime | None:
        """Return when to claim the next run, which may be past; None if that is unknown.

        Args:
            lead: the time by which to claim it before its moment.
        """
        if self.next_ready is None or self.next_ready <= self._handled_until:
            return None
        # If the clock was set back, the last early claim says nothing.
        was_tried = self.next_ready <= self._tried_until <= now + LONGEST_LEAD
        return self.next_ready if was_tried else self.next_ready - lead

    def _note(self, next_ready: datetime | None) -> None:
        self.next_ready = next_ready
        self.has_unseen_ring = False
        self._looked_at = clock.steady()
