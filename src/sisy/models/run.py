"""The ledger: one row for each occurrence and for each submitted run."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.db import models, router, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sisy import clock
from sisy.lifecycle.cancel import cancel_or_request, cancel_run
from sisy.lifecycle.retry import retry
from sisy.models.process import name_of_process
from sisy.records.run import RunRecord
from sisy.records.twins import manager_from, twin
from sisy.store import entries
from sisy.store.run_queries import COPIED_TO_ENTRIES, RunRows


class RunQuerySet(RunRows["Run"]):
    def cancel(self, reason: str, now: datetime, *, by_force: bool = False) -> int:
        """Cancel queued runs, and ask running ones to stop. Return the number of both.

        Runs that were asked before are not counted. The worker sees the request within a second:
        an async function is cancelled, and ``current_run().check()`` raises in a plain one. The
        run continues until its function stops. A run that a stopping worker released is cancelled
        when that worker has stopped, and does not start again.

        Args:
            by_force: also kill the processes of runs in a process pool.
        """
        cancelled, asked = cancel_or_request(self, reason, now, by_force=by_force)
        return len(cancelled) + len(asked)

    acancel = twin(cancel)


if TYPE_CHECKING:

    class RunManager(RunQuerySet, models.Manager["Run"]):  # type: ignore[misc]
        """The query set's methods, for type checkers."""
else:
    RunManager = manager_from(RunQuerySet)


class Run(RunRecord):
    """One run: an occurrence, or a submission by code or a person.

    The row has everything that a worker needs, and is kept when its task is deleted. ``task_id``
    keeps the task's key, but ``task`` is None then. A row can also represent ``count`` missed
    occurrences, from ``due_at`` to ``due_until``.
    """

    objects: ClassVar["RunManager"] = RunManager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-id"]
        constraints = [
            # Not the column's own NOT NULL, because of the outer joins: see `KeptForeignKey`.
            models.CheckConstraint(
                condition=Q(task__isnull=False), name="sisy_run_always_has_a_task"
            ),
            models.UniqueConstraint(
                fields=["task", "due_at"], name="sisy_run_one_row_per_occurrence"
            ),
        ]
        # None of their columns changes while a run is queued and executed, so that PostgreSQL can
        # update the row in place.
        indexes = [models.Index(fields=["task", "id"], name="sisy_run_history")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        fields = kwargs.get("update_fields")
        if fields is not None and COPIED_TO_ENTRIES.isdisjoint(fields):
            super().save(*args, **kwargs)
            return
        using = kwargs.get("using") or router.db_for_write(Run, instance=self)
        with transaction.atomic(using=using, savepoint=False):
            super().save(*args, **kwargs)
            entries.follow(using, [self.pk])

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the run, and its entry in the small tables."""
        using = kwargs.get("using") or router.db_for_write(Run, instance=self)
        with transaction.atomic(using=using, savepoint=False):
            entries.forget_all(using, [self.pk])
            return super().delete(*args, **kwargs)

    def cancel(self, reason: str = "Cancelled.", *, by_force: bool = False) -> bool:
        """Cancel the run if it is queued, or ask it to stop if it is running.

        Returns False if it has finished or was already asked.

        An async function is cancelled; in a plain one, ``current_run().check()`` raises. The run
        ends as cancelled only if the function then stops.

        Args:
            reason: stored with the run.
            by_force: also kill its process, if it runs in a process pool; threads cannot be
                killed.
        """
        using = router.db_for_write(Run, instance=self)
        return cancel_run(self, using, reason, clock.now(using), by_force=by_force)

    acancel = twin(cancel)

    def retry(self) -> "Run":
        """Submit another run for the same occurrence or submission, and return it.

        The schedule does not change. If the task was deleted, for example after `Task.run_once`,
        Sisy creates a copy of it for this run.

        Raises:
            CallableError: the task was deleted, and its target no longer exists.
            ValueError: this run has not finished, is being retried, or represents several
                occurrences.
        """
        using = router.db_for_write(Run, instance=self)
        return cast("Run", retry(self, using, clock.now(using)))

    aretry = twin(retry)

    @property
    def worker_name(self) -> str:
        """The name of the run's process as text, even after its end; empty if it is not known.

        Queries the process if it is not loaded: use ``select_related("process")`` for lists.
        """
        if self.process_id is None or Run.process.is_cached(self):
            return str(self.process or "")
        return name_of_process(self.process_id, self._state.db)
