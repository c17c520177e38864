"""Pass runs to a worker's pool, and sort what the pool reports about them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

from sisy.execution import NotCalled, Outcome, Pool
from sisy.models import Run, RunState
from sisy.runtime.log import logger
from sisy.runtime.loop import Inbox
from sisy.worker.lease import Lease
from sisy.worker.outcome_buffer import OutcomeBuffer
from sisy.worker.prefetch import InFlight
from sisy.worker.readiness import Readiness, Report

BUSY = "Released, because its worker was busy with longer runs."

Heard = Outcome | NotCalled | None


class PoolClient:
    """Passes runs to the pool. Finished runs go to ``outcomes``, the others are ``returned``.

    Args:
        report: stores why the pool cannot start functions: see `Readiness`.
        wake: called when it is time to release the returned runs, or to claim more.

    Attributes:
        readiness: whether the pool can start functions.
        returned: the runs that the pool did not call and that are to be released, by reason.
    """

    def __init__(
        self,
        in_flight: InFlight,
        outcomes: OutcomeBuffer,
        lease: Lease,
        report: Report,
        wake: Callable[[], None],
    ) -> None:
        self._in_flight = in_flight
        self._outcomes = outcomes
        self._lease = lease
        self.readiness = Readiness(report, wake)
        self._wake = wake
        self._is_closed = False
        self.returned: defaultdict[str, list[Run]] = defaultdict(list)

    def open(self, pool: Pool) -> None:
        """Use ``pool`` from now on. Call in the worker's event loop."""
        self._pool = pool
        self._heard = Inbox(asyncio.get_running_loop(), self._take)

    def carry_out(self, run: Run) -> None:
        """Pass a run to the pool."""
        try:
            self._pool.carry_out(run, self._hear, self._lease.surely_holds)
        except Exception as error:  # noqa: BLE001 - the border around the pool
            # Report it as not called, so that its slot is freed.
            logger.exception("Could not execute run %s; releasing it", run.pk)
            self._hear(run, NotCalled(reason=f"Its worker could not execute it: {error!r}."))

    def withdraw(self, runs: Iterable[Run]) -> list[Run]:
        """Remove those runs from the pool that it has not started, and return them."""
        return [run for run in runs if self._pool.withdraw(run.pk)]

    def cancel(self, run_id: int, reason: str, *, by_force: bool) -> None:
        """Ask a run to stop: see `Pool.cancel`."""
        self._pool.cancel(run_id, reason, by_force=by_force)

    def close(self) -> None:
        """Cancel what can be cancelled. Runs that are cancelled from here on stay in flight."""
        self._is_closed = True
        self._pool.close()

    def _hear(self, run: Run, outcome: Heard) -> None:
        self._heard.put((run, outcome))

    def _take(self, heard: list[tuple[Run, Heard]]) -> None:
        ended = [(run, outcome) for run, outcome in heard if isinstance(outcome, Outcome)]
        if ended:
            self.readiness.worked()
        for run, outcome in heard:
            if outcome is None:
                self.returned[BUSY].append(run)
            elif isinstance(outcome, NotCalled):
                self.returned[outcome.reason].append(run)
                self.readiness.failed(outcome.reason)
        # While the worker stops, it cancels what is still running. Such a run is handed over to
        # other workers, and must not be recorded as cancelled.
        if self._is_closed:
            ended = [one for one in ended if one[1].state != RunState.CANCELLED]
        self._outcomes.add([one for one in ended if self._in_flight.drop(*one)])
        if self.returned or self._in_flight.is_to_be_refilled:
            self._wake()
