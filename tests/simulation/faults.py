"""Sisy with one of its guards taken away, to see that the simulation would find it missing."""

from contextlib import contextmanager
from datetime import UTC, datetime
from unittest import mock

from django.db import connection
from django.db.models import F

from sisy.heartbeat import plan, plan_ahead
from sisy.lifecycle import finish
from sisy.models import Overlap, Run, Task, TaskState
from sisy.store import claims, outcomes
from sisy.worker import overlap


@contextmanager
def no_lock_on_what_is_planned():
    """Let heartbeats read what is due before their transaction, and lock nothing."""
    plan_chunk = plan._plan_chunk

    def look_first(scope, planned):
        with mock.patch.object(
            plan, "_lock_due", return_value=list(scope.due()[: plan.PLAN_BATCH])
        ):
            return plan_chunk(scope, planned)

    with mock.patch.object(plan, "_plan_chunk", look_first):
        yield


@contextmanager
def no_guard_on_what_is_planned():
    """Let heartbeats, without that lock, advance tasks from wherever they are.

    What the ledger has already they leave out: else its unique constraint would still be a guard.
    """

    def advance(using, plans):
        for task, what in plans:
            Task.objects.using(using).filter(pk=task.pk).update(
                planned_until=what.planned_until,
                last_run=what.due[-1] if what.due else task.last_run,
                next_run=what.next_run,
                runs_planned=F("runs_planned") + len(what.due),
                state=TaskState.RETIRED if what.next_run is None else TaskState.ACTIVE,
            )

    plan_tasks = plan._plan_tasks

    def leave_out(scope, tasks, careful=True):
        return plan_tasks(scope, tasks, careful=True)

    with (
        no_lock_on_what_is_planned(),
        mock.patch.object(plan, "advance", advance),
        mock.patch.object(plan_ahead, "advance", advance),
        mock.patch.object(plan, "_plan_tasks", leave_out),
    ):
        yield


@contextmanager
def no_fence():
    """Let workers end whatever bears the number of a run of theirs."""

    def held(self, runs):
        return self.running().filter(pk__in=[run.pk for run in runs])

    def write_outcomes(using, ended):
        running = Run.objects.using(using).running()
        return {
            run.pk
            for run, outcome in ended
            if running.filter(pk=run.pk).update(
                **{name: getattr(outcome, name) for name in outcomes.COLUMNS}
            )
        }

    with (
        mock.patch.object(type(Run.objects.all()), "held", held),
        mock.patch.object(finish, "write_outcomes", write_outcomes),
    ):
        yield


@contextmanager
def no_lock_on_what_overlaps():
    """Let workers decide about runs of one task at the same time.

    On SQLite a transaction is a lock, which nobody can leave out: there they do not look at what
    goes on.
    """
    if connection.vendor == "sqlite":
        with _nothing_seen_to_go_on():
            yield
        return

    def unlocked(using, model, pks):
        alone = Task.objects.using(using).filter(pk__in=pks).exclude(overlap=Overlap.ALLOW)
        return {task.pk: task for task in alone}

    with mock.patch.object(claims, "lock_exclusive_tasks", unlocked):
        yield


@contextmanager
def _nothing_seen_to_go_on():
    live_runs = overlap._live_runs

    def queued_runs(*args):
        live = live_runs(*args)
        for one in live.values():
            one.running.clear()
        return live

    with mock.patch.object(overlap, "_live_runs", queued_runs):
        yield


class HostsClock:
    """The clock of the host on which whoever asks runs: it is wrong by minutes."""

    def __init__(self, world) -> None:
        self._world = world

    def now(self, using):
        return datetime.now(UTC)

    last_known = earliest = now

    def read_again(self, using):
        """Do nothing: each look is exact."""
