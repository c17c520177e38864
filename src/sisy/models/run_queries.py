"""Filter, lock and cancel many runs at a time."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Exists, OuterRef, Q

from sisy.lifecycle.cancel import cancel_or_request
from sisy.records.choices import LIVE_STATES, RunState
from sisy.records.twins import manager_from, twin
from sisy.store import locking

if TYPE_CHECKING:
    from sisy.models.run import Run


def _is_leaving(now: datetime) -> Q:
    """Return a condition for runs that a leaving worker has released, but may still execute."""
    return Q(state=RunState.QUEUED, started_at__isnull=False, ready_at__gt=now)


def has_task(model: type["Run"]) -> Exists:
    """Return a condition for runs whose task exists."""
    tasks: Any = model._meta.get_field("task").related_model
    return Exists(tasks._base_manager.filter(pk=OuterRef("task_id")))


class RunQuerySet(models.QuerySet["Run"]):
    def queued(self) -> Self:
        """Return runs that no worker has claimed."""
        return self.filter(state=RunState.QUEUED)

    def running(self) -> Self:
        """Return runs that a worker has claimed."""
        return self.filter(state=RunState.RUNNING)

    def possibly_running(self, now: datetime) -> Self:
        """Return runs whose function may be running at ``now``.

        They are running, or a leaving worker has released them. The latter are queued, and become
        ready when that worker has certainly stopped.
        """
        return self.filter(Q(state=RunState.RUNNING) | _is_leaving(now))

    def surely_queued(self, now: datetime) -> Self:
        """Return queued runs without those that a leaving worker may still execute."""
        return self.queued().exclude(_is_leaving(now))

    def live(self) -> Self:
        """Return runs that are queued or running."""
        return self.filter(state__in=LIVE_STATES)

    def with_task(self) -> Self:
        """Return runs whose task exists."""
        return self.filter(has_task(self.model))

    def without_task(self) -> Self:
        """Return runs whose task was deleted."""
        return self.filter(~has_task(self.model))

    def ready(self, now: datetime) -> Self:
        """Return queued runs that workers may claim at ``now``, the next one first."""
        return self.queued().filter(ready_at__lte=now).order_by("-priority", "ready_at", "id")

    def native(self) -> Self:
        """Return runs that Sisy's own workers execute."""
        return self.filter(engine="")

    def of_other_engines(self) -> Self:
        """Return runs that backends of ``django.tasks`` execute."""
        return self.filter(engine__gt="")

    def cancel(self, reason: str, now: datetime, *, by_force: bool = False) -> int:
        """Cancel queued runs, and ask running ones to stop. Return the number of both.

        Runs that were asked before are not counted. The worker sees the request within a second:
        an async function is cancelled, and ``current_run().check()`` raises in a plain one. The
        run continues until its function stops. A run that a leaving worker released is cancelled
        when that worker has stopped, and does not start again.

        Args:
            by_force: also kill the processes of runs in a process pool.
        """
        cancelled, asked = cancel_or_request(self, reason, now, by_force=by_force)
        return len(cancelled) + len(asked)

    acancel = twin(cancel)

    def lock(self) -> list[int]:
        """Lock the runs until the transaction ends, and return their keys.

        Call it before you change several runs that other processes change, too.
        """
        # Everyone locks in the order of the keys, so that no two transactions wait for each other.
        return locking.lock(self)

    def held(self, runs: Iterable["Run"]) -> Self:
        """Return those of ``runs`` that still belong to the process and attempt on the objects."""
        # The fence: a worker that has lost its lease finds no rows, and so changes nothing.
        holdings: dict[tuple[int | None, int], list[int]] = {}
        for run in runs:
            holdings.setdefault((run.process_id, run.attempt), []).append(run.pk)
        fence = Q(pk__in=[])
        for (process, attempt), pks in holdings.items():
            fence |= Q(pk__in=pks, process=process, attempt=attempt)
        return self.running().filter(fence)


if TYPE_CHECKING:

    class RunManager(RunQuerySet, models.Manager["Run"]):  # type: ignore[misc]
        """The query set's methods, for type checkers."""
else:
    RunManager = manager_from(RunQuerySet)
