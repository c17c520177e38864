"""Claim runs, and release claims whose commit was never confirmed.

A connection may break after the database has committed a claim and before the worker reads the
answer. The runs are then running in the ledger, but the worker does not know them. So from the
moment a claim is sent, it is in doubt until the worker confirms that it has taken the runs:

    clear --claim or release--> in doubt --heard--> clear
                                     |
                                     +--settle--> releases runs that the worker does not know

`settle` runs before each claim and when the worker stops. It compares the runs that the ledger
says the worker is running with the runs that the worker knows, and releases the difference.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sisy import clock
from sisy.exceptions import LeaseLost
from sisy.lifecycle.release import release
from sisy.models import Run
from sisy.worker.claim import any_ready, claim
from sisy.worker.lease import Lease
from sisy.worker.unresolved import Unresolved


class ClaimSession:
    """Claims and releases runs for one worker. Call everything but `heard` in one thread.

    Args:
        known: returns the keys of the runs that the worker knows it holds.
        unresolved: the functions that the worker leaves to others.
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
        """Claim up to ``free`` runs and return them.

        Args:
            was_rung_for: whether a ring announced a run. If not, first check if any run is ready.
        """
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
        """Confirm that the worker has taken the runs that the last claim returned."""
        self._is_in_doubt = False

    def release(self, runs: list[Run], reason: str) -> None:
        """Release these runs, so that other workers can claim them."""
        # If the connection breaks now, these runs may still be this worker's in the ledger.
        was_in_doubt, self._is_in_doubt = self._is_in_doubt, True
        release(self._using, runs, reason, self._now())
        self._is_in_doubt = was_in_doubt

    def settle(self) -> None:
        """Release the runs of a claim that is in doubt. Does nothing if none is."""
        if not self._is_in_doubt:
            return
        held = Run.objects.using(self._using).running().filter(process=self._lease.process().pk)
        unheard = list(held.exclude(pk__in=self._known()))
        reason = "Released, because the database connection failed during the claim."
        release(self._using, unheard, reason, self._now())

    def _now(self) -> datetime:
        return clock.now(self._using)
