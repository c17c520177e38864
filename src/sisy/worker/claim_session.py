"""A worker's claims and releases in the database, and claims whose commit was never confirmed.

A connection may break after the database has committed a claim and before the worker reads the
answer. The runs are then running in the ledger, but the worker does not know them. So from the
moment a claim is sent, it is in doubt until the worker confirms that it has taken the runs:

    clear --claim or release--> in doubt --confirm--> clear
                                     |
                                     +--release_unconfirmed--> the other runs are released

`release_unconfirmed` runs before each claim and when the worker stops. It compares the runs that
the ledger says the worker is running with the runs that the worker knows, and releases the
difference.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from django.utils.translation import ngettext

from sisy import clock
from sisy.exceptions import LeaseLost
from sisy.lifecycle.release import release, release_running
from sisy.models import Process, Run
from sisy.models.lease import Lease
from sisy.runtime.log import logger
from sisy.store.isolation import past_bad_rows
from sisy.store.levels import Level
from sisy.worker.claim import claim
from sisy.worker.early_claim import Lead, claim_early
from sisy.worker.low_water import LowWaterMarks
from sisy.worker.missing_code import Unresolved
from sisy.worker.outcome_buffer import OutcomeBuffer
from sisy.worker.outlook import Outlook
from sisy.worker.prefetch import InFlight
from sisy.worker.unreadable_runs import reject_unreadable_in


class ClaimSession:
    """Claims and releases runs for one worker.

    Call everything but `confirm` in one thread.

    Args:
        in_flight, outcomes: the runs that the worker knows it holds.
        unresolved: the functions to leave to others.

    Attributes:
        outlook: when the next run becomes ready.
        doubts_marks: whether a ring led to no run since the low-water marks were renewed.
    """

    def __init__(
        self,
        using: str,
        queues: Sequence[str],
        lease: Lease,
        in_flight: InFlight,
        outcomes: OutcomeBuffer,
        unresolved: Unresolved,
    ) -> None:
        self._using = using
        self._queues = queues
        self._lease = lease
        self._in_flight = in_flight
        self._outcomes = outcomes
        self._unresolved = unresolved
        self._is_in_doubt = False
        self._marks = LowWaterMarks(using)
        self._lead = Lead()
        self._has_filled = False
        self.outlook = Outlook(using, self._known_levels)
        self.doubts_marks = False

    def claim(self, free: int, *, was_rung_for: bool) -> list[Run]:
        """Claim up to ``free`` runs and return them.

        Args:
            was_rung_for: whether a ring announced a run. If not, first check if any run is ready.
                If so, and there is none, it may be before the low-water mark.
        """
        self.release_unconfirmed()
        if was_rung_for:
            self.outlook.note_ring()
        if self._marks.renewal.is_due():
            return self._claim_by_new_marks(free)
        now = self._now()
        if not was_rung_for and not self.outlook.is_ready(now) and not self.outlook.look(now):
            return []
        runs = self._claim(free)
        if runs or not was_rung_for:
            return runs
        self._marks.renewal.hasten()
        if self._marks.renewal.is_due():
            return self._claim_by_new_marks(free)
        self.doubts_marks = True
        return []

    def next_claim(self, now: datetime, *, may_be_early: bool) -> datetime | None:
        """Return when to claim the next run, which may be past; None if that is unknown."""
        return self.outlook.next_claim(now, self._lead.length if may_be_early else timedelta(0))

    def claim_early(self, free: int) -> list[Run]:
        """Claim up to ``free`` runs that become ready soon, and return them."""
        self.release_unconfirmed()
        clock.read_again(self._using)
        now = self._now()
        until = now + self._lead.length
        began = clock.steady()
        missing = self._unresolved.paths()

        def claim_as(process: Process) -> list[Run]:
            return claim_early(process, self._queues, free, now, until, missing, self._marks)

        runs = self._under_lease(claim_as, until)
        self._lead.note(clock.steady() - began)
        self.outlook.note_early_claim(until)
        return runs

    def _known_levels(self) -> list[Level]:
        return [level for queue in self._queues for level in self._marks.levels(queue)]

    def _renew_marks(self) -> bool:
        """Renew the marks. Return whether any run is ready."""
        now = self._now()
        self.doubts_marks = False
        firsts = self._marks.renew(self._queues, now)
        is_ready = any(first <= now for first in firsts)
        if is_ready:
            # The first runs say nothing about those after them.
            self.outlook.note_ring()
        else:
            self.outlook.note_firsts(firsts, now)
        return is_ready

    def _claim_by_new_marks(self, free: int) -> list[Run]:
        return self._claim(free) if self._renew_marks() else []

    def _claim(self, free: int) -> list[Run]:
        now, missing, expects_many = self._now(), self._unresolved.paths(), self._has_filled

        def claim_as(process: Process) -> list[Run]:
            return claim(
                process,
                self._queues,
                free,
                now,
                missing=missing,
                marks=self._marks,
                expects_many=expects_many,
            )

        runs = self._under_lease(claim_as, now)
        self._has_filled = len(runs) == free
        if len(runs) < free:
            self.outlook.note_claim(now)
        return runs

    def _under_lease(self, claim_as: Callable[[Process], list[Run]], until: datetime) -> list[Run]:
        """Claim runs that are ready by ``until``, and register again if the lease was lost."""
        self._is_in_doubt = True
        reject = partial(reject_unreadable_in, self._using, self._queues, until)
        try:
            return past_bad_rows(partial(claim_as, self._lease.process()), reject)
        except LeaseLost:
            return past_bad_rows(partial(claim_as, self._lease.renew()), reject)

    def confirm(self) -> None:
        """Confirm that the worker has taken the runs that the last claim returned."""
        self._is_in_doubt = False

    def release(self, runs: list[Run], reason: str) -> None:
        """Release these runs, so that other workers can claim them."""
        # If the connection breaks now, these runs may still be this worker's in the ledger.
        was_in_doubt, self._is_in_doubt = self._is_in_doubt, True
        release(self._using, runs, reason, self._now())
        self._is_in_doubt = was_in_doubt

    def release_unconfirmed(self) -> None:
        """Release the runs of a claim that is in doubt. Does nothing if none is."""
        if not self._is_in_doubt:
            return
        held = Run.objects.using(self._using).running_in(self._lease.process().pk)
        # By the attempt: one that was lost may still be executed here.
        known = self._in_flight.attempts | self._outcomes.unrecorded
        unconfirmed = [run for run in held if (run.pk, run.attempt) not in known]
        reason = "The database connection failed during the claim."
        release(self._using, unconfirmed, reason, self._now())

    def end(self, abandoned: list[Run]) -> None:
        """Release the runs that are still running, and unregister the worker."""
        if abandoned:
            count = release_running(self._using, abandoned, "Its worker stopped", self._now())
            words = ngettext(
                "Released %d run that was still running",
                "Released %d runs that were still running",
                count,
            )
            logger.warning(words, count)
        self.release_unconfirmed()
        self._lease.end()

    def _now(self) -> datetime:
        return clock.now(self._using)
