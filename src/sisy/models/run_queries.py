"""Look up, lock and cancel many runs at a time."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import F, Q

from sisy.lifecycle.cancel import cancel, cancel_queued
from sisy.records.choices import LIVE_STATES, RunState
from sisy.records.twins import manager_from, twin
from sisy.store import locking

if TYPE_CHECKING:
    from sisy.models.run import Run


def _is_leaving(now: datetime) -> Q:
    """Whether a run was handed over by a worker that has not gone yet, in which it may go on."""
    return Q(state=RunState.QUEUED, started_at__isnull=False, ready_at__gt=now)


class RunQuerySet(models.QuerySet["Run"]):
    def queued(self) -> Self:
        """Those that no worker has taken yet."""
        return self.filter(state=RunState.QUEUED)

    def running(self) -> Self:
        """Those that a worker carries out."""
        return self.filter(state=RunState.RUNNING)

    def possibly_running(self, now: datetime) -> Self:
        """Those whose function may be at work: running, or handed over by a worker that leaves.

        The latter are queued already, and ready once that worker is surely gone.
        """
        return self.filter(Q(state=RunState.RUNNING) | _is_leaving(now))

    def surely_queued(self, now: datetime) -> Self:
        """Those that are queued, and whose function is not at work in a worker that leaves."""
        return self.queued().exclude(_is_leaving(now))

    def live(self) -> Self:
        """Those that are not over: queued or running."""
        return self.filter(state__in=LIVE_STATES)

    def without_task(self) -> Self:
        """Those whose task was deleted."""
        return self.filter(task=None)

    def ready(self, now: datetime) -> Self:
        """Those that may be taken at ``now``, in the order in which they should."""
        return self.queued().filter(ready_at__lte=now).order_by("-priority", "ready_at", "id")

    def native(self) -> Self:
        """Those that Sisy's own workers carry out."""
        return self.filter(engine="")

    def of_other_engines(self) -> Self:
        """Those that are handed to backends of ``django.tasks``."""
        return self.filter(engine__gt="")

    def cancel_queued(self, reason: str | F, now: datetime) -> int:
        """Cancel the queued ones, and return how many."""
        return len(cancel_queued(self, reason, now))

    acancel_queued = twin(cancel_queued)

    def cancel(self, reason: str, now: datetime, *, by_force: bool = False) -> int:
        """Cancel the queued ones, and request that running ones stop; return how many.

        Those that were asked before are not counted. A run that was asked to stop runs until its
        function notices, or is killed. Its worker sees the request within a second: an async
        function is cancelled, ``current_run().check()`` raises in a plain one. With ``by_force``,
        the process of a run in a pool of processes is killed. A run that a leaving worker released
        is cancelled when that worker is gone, and does not start again.
        """
        return cancel(self, reason, now, by_force=by_force)

    acancel = twin(cancel)

    def lock(self) -> list[int]:
        """Lock them until the transaction ends, and return their keys.

        Whoever changes several runs at once that others change, too, locks them first: always in
        the order of their keys, so that no two wait for each other.
        """
        return locking.lock(self)

    def held(self, runs: Iterable["Run"]) -> Self:
        """Those of ``runs`` that still belong to the process and the attempt that ``runs`` name.

        The fence: a worker whose lease was taken over changes nothing through it.
        """
        holdings: dict[tuple[int | None, int], list[int]] = {}
        for run in runs:
            holdings.setdefault((run.process_id, run.attempt), []).append(run.pk)
        fence = Q(pk__in=[])
        for (process, attempt), pks in holdings.items():
            fence |= Q(pk__in=pks, process=process, attempt=attempt)
        return self.running().filter(fence)


if TYPE_CHECKING:

    class RunManager(RunQuerySet, models.Manager["Run"]):  # type: ignore[misc]
        """Has what its query set has, which checkers of types would not see."""
else:
    RunManager = manager_from(RunQuerySet)
