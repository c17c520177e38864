"""Look up, lock and cancel many runs at a time."""

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Self, cast

from django.db import DataError, models, transaction
from django.db.models import F, Q
from django.dispatch import Signal

from sisy import signals
from sisy.models import locking
from sisy.models.choices import LIVE_STATES, RunState
from sisy.models.managers import manager_from
from sisy.models.twins import twin

if TYPE_CHECKING:
    from sisy.models.run import Run

BATCH = 1000


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

    def live(self) -> Self:
        """Those that are not over: queued or running."""
        return self.filter(state__in=LIVE_STATES)

    def without_task(self) -> Self:
        """Those whose task was deleted."""
        return self.filter(task=None)

    def ready(self, now: datetime) -> Self:
        """Those that may be taken at ``now``, in the order in which they should."""
        return self.queued().filter(ready_at__lte=now).order_by("-priority", "ready_at", "id")

    def resolvable(self, missing: Collection[str], since: datetime) -> Self:
        """Those that a worker may claim that does not find the functions at ``missing`` paths.

        Args:
            since: runs of these that were released after this moment are left to others.
        """
        may_wait = Q(unresolved_since=None) | Q(unresolved_since__gt=since)
        return self.exclude(may_wait, target_path__in=missing)

    def native(self) -> Self:
        """Those that Sisy's own workers carry out."""
        return self.filter(engine="")

    def of_other_engines(self) -> Self:
        """Those that are handed to backends of ``django.tasks``."""
        return self.filter(engine__gt="")

    def cancel_queued(self, reason: str | F, now: datetime) -> int:
        """Cancel those that no worker has taken, tell of it, and return how many they were."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            pks = self.queued().lock()
            for start in range(0, len(pks), BATCH):
                these = self._others.filter(pk__in=pks[start : start + BATCH])
                these.update(state=RunState.CANCELLED, reason=reason, finished_at=now)
                these.tell(signals.run_cancelled)
        return len(pks)

    def tell(self, signal: Signal) -> None:
        """Send one of Sisy's signals for each of these, as it is now, once that is committed."""
        self.model.tell(signal, self.select_related("task").readable(), self.db)

    def readable(self) -> "list[Run]":
        """Return those whose rows can be read: one that cannot keeps none of the others back."""
        try:
            return list(self)
        except (ValueError, TypeError, ArithmeticError, DataError):
            rows = [self.filter(pk=pk) for pk in self.values_list("pk", flat=True)]
            return [run for row in rows for run in row.readable()] if len(rows) > 1 else []

    @property
    def _others(self) -> Self:
        """All runs of the same database."""
        return cast("Self", self.model._default_manager.using(self.db))

    acancel_queued = twin(cancel_queued)

    def cancel_requested(self, now: datetime) -> int:
        """Cancel the queued ones whose end was requested; return how many they were."""
        return self.exclude(cancel_requested_at=None).cancel_queued(F("cancel_reason"), now)

    acancel_requested = twin(cancel_requested)

    def cancel(self, reason: str, now: datetime, *, by_force: bool = False) -> int:
        """Cancel the queued ones, and ask running ones to end; return how many they were.

        Those that were asked before are not counted. What was asked to end goes on until its
        function has noticed, or is killed: see `request_cancel`.
        """
        self._for_write = True
        with transaction.atomic(using=self.db):
            chosen = self.model._default_manager.using(self.db).filter(pk__in=self.live().lock())
            return chosen.exclude(_is_leaving(now)).cancel_queued(reason, now) + len(
                chosen.request_cancel(reason, now, by_force=by_force)
            )

    acancel = twin(cancel)

    def request_cancel(self, reason: str, now: datetime, *, by_force: bool = False) -> list[int]:
        """Ask those that go on to end; return the keys of those that were not asked before.

        The request stands on the row. Their workers see it within a second: an async function is
        cancelled, ``current_run().check()`` raises in a plain one. With ``by_force``, the process
        of a run in a pool of processes is killed. One that was handed over by a worker that leaves
        is called off once that is gone, instead of being begun again.
        """
        asked_less = Q(cancel_requested_at=None)
        if by_force:
            asked_less |= Q(cancel_force=False)
        self._for_write = True
        pks = self.possibly_running(now).filter(asked_less).lock()
        going = self.model._default_manager.using(self.db).possibly_running(now).filter(pk__in=pks)
        going.update(cancel_requested_at=now, cancel_force=by_force, cancel_reason=reason[:500])
        if pks:
            tasks = sorted(set(going.exclude(task=None).values_list("task", flat=True)))
            announce = partial(
                signals.cancel_requested.send_robust, sender=self.model, pks=pks, tasks=tasks
            )
            transaction.on_commit(announce, using=self.db, robust=True)
        return pks

    arequest_cancel = twin(request_cancel)

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
