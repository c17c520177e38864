"""Claims for a worker, and hands back what it has won without hearing of it."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sisy import clock
from sisy.exceptions import LeaseLost
from sisy.models import Run
from sisy.worker.claim import any_ready, claim
from sisy.worker.handover import give_back
from sisy.worker.lease import Lease
from sisy.worker.unresolved import Unresolved


class ClaimSession:
    """Speaks to the database for a worker's claiming; in one thread, but for `heard`.

    A connection may break after a commit that nobody hears of. Until it is known what came of a
    claim, the claim is in doubt: what it may have won is handed back before the next one.

    Args:
        known: returns the keys of the runs that the worker knows to be his.
        unresolved: the functions that it leaves to others.
    """

    def __init__(
        self,
        using: str,
        queues: Sequence[str],
        lease: Lease,
        known: Callable[[], set[int]],
        unresolved: Unresolved,
    ) -> None:
        self._using = using
        self._queues = queues
        self._lease = lease
        self._known = known
        self._unresolved = unresolved
        self._is_in_doubt = False

    def claim(self, free: int, *, was_rung_for: bool) -> list[Run]:
        """Return up to ``free`` runs that were won; unless one rang, look if any is ready."""
        self.settle()
        if not was_rung_for and not any_ready(self._using, self._queues, self._now()):
            return []
        self._is_in_doubt = True
        missing = self._unresolved.paths()
        try:
            return claim(self._lease.process(), self._queues, free, self._now(), missing=missing)
        except LeaseLost:
            return claim(self._lease.renew(), self._queues, free, self._now(), missing=missing)

    def heard(self) -> None:
        """The worker has taken in hand what the last claim returned."""
        self._is_in_doubt = False

    def give_back(self, runs: list[Run], reason: str) -> None:
        """Let others begin these runs; if that is not heard of, it is in doubt, too."""
        was_in_doubt, self._is_in_doubt = self._is_in_doubt, True
        give_back(self._using, runs, reason, self._now())
        self._is_in_doubt = was_in_doubt

    def settle(self) -> None:
        """Hand back what a claim in doubt has won."""
        if not self._is_in_doubt:
            return
        held = Run.objects.using(self._using).running().filter(process=self._lease.process().pk)
        unheard = list(held.exclude(pk__in=self._known()))
        reason = "Released, because the database connection failed during the claim."
        give_back(self._using, unheard, reason, self._now())

    def _now(self) -> datetime:
        return clock.now(self._using)
