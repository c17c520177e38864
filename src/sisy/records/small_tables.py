"""The small tables beside the ledger, with entries of queued, running and troubled runs.

The ledger says what happened to each run, and keeps it for months. These tables serve the frequent
queries, and stay small: an entry is added when its run enters a state, and deleted when the run
leaves it, in the transaction that changes the run. So no index of the ledger contains a column
that changes, which lets PostgreSQL update its rows in place. See `sisy.store.entries`.
"""

from datetime import datetime

from django.db import models
from django.db.models import Q

from sisy.records.choices import RunState
from sisy.records.fields import MomentField


def planned_ahead(now: datetime) -> Q:
    """Return a condition for entries of queued runs that were planned ahead and are not due yet.

    People do not see such a run: it is in no count, and ``cancel_runs()`` leaves it alone.
    """
    return Q(is_delayed=True, is_ahead=True, ready_at__gt=now)


class QueuedRun(models.Model):
    """The entry of a queued run: what a claim needs to find it.

    Attributes:
        is_delayed: whether the run becomes ready later than it was planned.
        is_ahead: whether it was planned before it is due, and becomes ready when it is due.
    """

    pk = models.CompositePrimaryKey("task_id", "run_id")
    task_id = models.BigIntegerField()
    run_id = models.BigIntegerField()
    engine = models.CharField(max_length=60, blank=True)
    queue = models.CharField(max_length=60)
    priority = models.SmallIntegerField()
    ready_at = MomentField()
    is_delayed = models.BooleanField()
    is_ahead = models.BooleanField()

    class Meta:
        db_table = "sisy_queued_run"
        indexes = [
            models.Index(
                fields=["engine", "queue", "priority", "ready_at", "run_id"],
                name="sisy_queued_claim",
            ),
            # Most runs are ready immediately, and are not in this index. MySQL and MariaDB ignore
            # the condition, so the column comes first in the index.
            models.Index(
                fields=["is_delayed", "is_ahead", "ready_at"],
                name="sisy_queued_delayed",
                condition=Q(is_delayed=True),
            ),
        ]

    def __str__(self) -> str:
        return f"queued run {self.run_id}"


class RunningRun(models.Model):
    """The entry of a running run: which process executes it."""

    pk = models.CompositePrimaryKey("task_id", "run_id")
    task_id = models.BigIntegerField()
    run_id = models.BigIntegerField()
    process_id = models.BigIntegerField(null=True)

    class Meta:
        db_table = "sisy_running_run"

    def __str__(self) -> str:
        return f"running run {self.run_id}"


class TroubledRun(models.Model):
    """The entry of a run that ended without success, so that people find it quickly.

    Attributes:
        is_judged: whether a heartbeat has decided whether the run is a reason for an alert. Runs
            in states that never are stay as they are.
    """

    run_id = models.BigIntegerField(primary_key=True)
    task_id = models.BigIntegerField()
    state = models.CharField(max_length=20, choices=RunState)
    finished_at = MomentField(null=True)
    is_judged = models.BooleanField(db_default=False)

    class Meta:
        db_table = "sisy_troubled_run"
        indexes = [
            models.Index(fields=["is_judged", "state"], name="sisy_troubled_judged"),
            models.Index(fields=["state", "-run_id"], name="sisy_troubled_state"),
            models.Index(fields=["task_id", "-run_id"], name="sisy_troubled_task"),
            models.Index(fields=["finished_at"], name="sisy_troubled_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.state} run {self.run_id}"
