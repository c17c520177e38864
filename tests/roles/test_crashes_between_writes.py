"""A step that crashes between any two of its writes leaves ledger and small tables consistent.

The failure of the field: a job that is stuck for ever, since a process died after it had written
one table and before it wrote the other. `tests/processes/test_crash_points.py` kills processes at
named points. Here, each step crashes between any two of its writes, before and after each commit,
and is then repeated.
"""

from datetime import timedelta

import pytest

from sisy.engines.dispatch import refuse_unknown
from sisy.heartbeat import clock_rollback, tick
from sisy.heartbeat.entry_check import EntryCheck
from sisy.heartbeat.rescue import rescue_lost, rescue_orphans
from sisy.heartbeat.retention import delete_ended, prune_history, prune_surplus
from sisy.lifecycle.release import release, release_running
from sisy.models import (
    Attempt,
    Missed,
    Process,
    QueuedRun,
    Run,
    RunningRun,
    RunState,
    Task,
    TroubledRun,
)
from sisy.runtime.compat import delete_bare
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.app import jobs
from tests.roles.crashes import crash, places_of
from tests.roles.steps import outcome
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker
from tests.support.small_tables import disagreements

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

LATER = NOON + MINUTE + SECOND
TABLES = (QueuedRun, RunningRun, TroubledRun, Attempt, Run, Task, Process)


def yearly(label="yearly", **fields):
    return scheduled("@yearly", label=label, **fields)


def running(*labels_and_fields):
    """Return a worker that has claimed a run of each of some new tasks."""
    for label, fields in labels_and_fields:
        yearly(label, **fields).run_now()
    holder = worker()
    assert len(claim(holder, ["default"], 9, NOON)) == len(labels_and_fields)
    return holder


def held():
    return list(Run.objects.select_related("task").filter(state=RunState.RUNNING).order_by("pk"))


def ended(*states):
    """Let a run of a new task end in each of some states."""
    running(*((state, {}) for state in states))
    record("default", [(run, outcome(NOON, run.label)) for run in held()], NOON)


# --- steps: each function prepares rows, and returns what is then done with them ---


def submitting_once():
    return lambda: Task.run_once(jobs.noop)


def submitting_in_bulk():
    return lambda: Task.bulk_run_once(jobs.noop, [{}, {}])


def submitting_iterations():
    return lambda: Task.run_iterations(jobs.noop, schedule="@yearly", iterations=2)


def submitting_a_run_of_a_task():
    task = yearly()
    return task.run_now


def backfilling():
    task = scheduled("0 * * * *")
    return lambda: task.backfill(NOON - 3 * HOUR, NOON)


def planning():
    for missed in Missed:
        scheduled(missed=missed, label=missed)
    return lambda: tick("default", NOON + 3 * MINUTE)


def starting():
    yearly("plain").run_now()
    overlapping = yearly("overlapping", overlap="skip")
    overlapping.run_now(), overlapping.run_now()
    asked = yearly("asked").run_now()
    Run.objects.filter(pk=asked.pk).update(cancel_requested_at=NOON, cancel_reason="no")
    without = yearly("without a task")
    without.run_now()
    delete_bare(Task.objects.filter(pk=without.pk))
    holder = worker()
    return lambda: claim(holder, ["default"], 9, NOON)


def finishing():
    states = {
        "good": RunState.SUCCEEDED,
        "bad": RunState.FAILED,
        "late": RunState.TIMED_OUT,
        "again": RunState.FAILED,
        "lost": RunState.LOST,
    }
    again = {"max_attempts": 2, "retry_delay": timedelta(0)}
    Task.run_once(jobs.noop, label="good")
    running_ones = [(label, again if label == "again" else {}) for label in states]
    for label, fields in running_ones:
        yearly(label, **fields).run_now()
    claim(worker(), ["default"], 9, NOON)

    def finish():
        record("default", [(run, outcome(NOON, states[run.label])) for run in held()], NOON)
        delete_ended("default")  # as a heartbeat does

    return finish


def releasing():
    running(("plain", {}), ("asked", {}), ("without a task", {}))
    Run.objects.filter(label="asked").update(cancel_requested_at=NOON, cancel_reason="no")
    delete_bare(Task.objects.filter(label="without a task"))
    return lambda: release("default", held(), "Its worker leaves.", NOON)


def releasing_what_has_started():
    running(("again", {}), ("once", {"on_lost": "fail"}))
    return lambda: release_running("default", held(), "Its worker leaves", NOON)


def cancelling():
    running(("running", {}))
    yearly("queued").run_now()
    yearly("also queued").run_now()
    return lambda: Run.objects.all().cancel("no", NOON)


def retrying_by_hand():
    ended(RunState.FAILED)
    return lambda: Run.objects.get(state=RunState.FAILED).retry()


def rescuing():
    running(("again", {}), ("once", {"on_lost": "fail"}), ("asked", {}))
    Run.objects.filter(label="asked").update(cancel_requested_at=NOON, cancel_reason="no")
    return lambda: rescue_lost("default", NOON + 2 * HOUR)


def rescuing_orphans():
    running(("again", {}), ("once", {"on_lost": "fail"}))
    delete_bare(Process.objects.all())
    return lambda: rescue_orphans("default", NOON)


def pruning_by_age():
    ended(RunState.SUCCEEDED, RunState.FAILED)
    yearly("queued").run_now()
    return lambda: prune_history("default", NOON + 31 * DAY)


def pruning_by_number():
    task = yearly(history_runs=1)
    for _ in range(3):
        task.run_now()
        claim(worker(), ["default"], 1, NOON)
        record("default", [(run, outcome(NOON, RunState.FAILED)) for run in held()], NOON)
    return lambda: prune_surplus("default", 0, 2**62)


def repairing():
    ended(RunState.FAILED, RunState.TIMED_OUT)
    running(("running", {}))
    for label in ("without an entry", "with a wrong entry"):
        yearly(label).run_now()
    TroubledRun.objects.filter(state=RunState.FAILED).delete()
    QueuedRun.objects.filter(run_id=Run.objects.get(label="without an entry").pk).delete()
    QueuedRun.objects.update(queue="other")
    RunningRun.objects.all().delete()
    return lambda: EntryCheck("default").go_on(LATER)


def setting_the_clock_back():
    scheduled()
    tick("default", NOON + MINUTE)
    return lambda: clock_rollback.repair("default", NOON - HOUR)


def refusing_an_unknown_engine():
    yearly().run_now()
    Run.objects.update(engine="gone")
    return lambda: refuse_unknown("default", NOON + HOUR)


def deleting_a_task():
    running(("running", {}))
    yearly("queued").run_now()
    return lambda: Task.objects.all().delete()


def storing_runs_with_django():
    task = yearly()
    states = (RunState.QUEUED, RunState.RUNNING, RunState.FAILED, RunState.SUCCEEDED)
    return lambda: Run.objects.bulk_create([task.new_run(now=NOON, state=one) for one in states])


def updating_runs_with_django():
    ended(RunState.FAILED)
    yearly("queued").run_now()
    return lambda: Run.objects.update(state=RunState.CANCELLED)


def saving_a_run_with_django():
    run = yearly().run_now()
    run.state = RunState.MISSED
    return run.save


def deleting_runs_with_django():
    ended(RunState.FAILED)
    yearly("queued").run_now()
    return lambda: Run.objects.all().delete()


STEPS = [
    submitting_once,
    submitting_in_bulk,
    submitting_iterations,
    submitting_a_run_of_a_task,
    backfilling,
    planning,
    starting,
    finishing,
    releasing,
    releasing_what_has_started,
    cancelling,
    retrying_by_hand,
    rescuing,
    rescuing_orphans,
    pruning_by_age,
    pruning_by_number,
    repairing,
    setting_the_clock_back,
    refusing_an_unknown_engine,
    deleting_a_task,
    storing_runs_with_django,
    updating_runs_with_django,
    saving_a_run_with_django,
    deleting_runs_with_django,
]


def prepared(prepare):
    """Return the step on new rows, after all others are deleted."""
    for table in TABLES:
        delete_bare(table._base_manager.all())
    return prepare()


def rows():
    """Return what a step leaves, apart from keys and moments."""
    runs = Run.objects.values_list("label", "state", "attempt", "times_lost", "queue", "engine")
    return sorted(runs), Task.objects.count(), Attempt.objects.count(), disagreements()


@pytest.mark.parametrize("prepare", STEPS, ids=lambda step: step.__name__.replace("_", " "))
def test_a_step_that_crashes_between_two_writes_can_be_repeated(prepare):
    places = places_of(prepared(prepare))
    wanted = rows()
    assert places
    assert wanted[-1] == []
    for place in places:
        step = prepared(prepare)
        before = disagreements()
        crash(step, place)
        assert set(disagreements()) <= set(before), place
        step()
        assert rows() == wanted, place
