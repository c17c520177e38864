"""An edit right after a due moment: what was due runs, as it was meant then."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy import clock, signals
from sisy.heartbeat import tick
from sisy.models import Origin, Run, RunState, Task, TaskState
from tests.support.clocks import clock_at
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

MILLISECOND = timedelta(milliseconds=1)


def runs():
    return list(Run.objects.order_by("due_at").values_list("due_at", "state"))


def save(task):
    task.schedule, task.queue = "0 0 1 1 *", "other"
    task.save()


def update(task):
    Task.objects.filter(pk=task.pk).update(schedule="0 0 1 1 *", queue="other")


def update_zone(task):
    Task.objects.filter(pk=task.pk).update(timezone="Asia/Kathmandu")


def end(task):
    task.end_running = clock.now("default") + MILLISECOND
    task.save()


EDITS = [save, update, update_zone, end, Task.pause]
AFTER = [timedelta(0), MILLISECOND, 2 * SECOND, 5 * SECOND]


@pytest.mark.parametrize("after", AFTER, ids=str)
@pytest.mark.parametrize("edit", EDITS)
def test_occurrences_due_up_to_five_seconds_before_an_edit_run(edit, after):
    task = scheduled()
    now = NOON + MINUTE + after
    with clock_at(now):
        edit(task)
    tick("default", now)
    run = Run.objects.get()
    assert (run.due_at, run.state) == (NOON + MINUTE, RunState.QUEUED)
    assert (run.origin, run.attempt, run.queue) == (Origin.SCHEDULE, 0, "default")
    task.refresh_from_db()
    assert (task.runs_planned, task.last_run, task.planned_until) == (1, run.due_at, run.due_at)


@pytest.mark.parametrize("edit", EDITS)
def test_earlier_occurrences_are_missed_and_the_last_five_seconds_run(edit):
    task = scheduled("* * * * * *")
    with clock_at(NOON + 20 * SECOND):
        edit(task)
    assert runs() == [
        (NOON + SECOND, RunState.MISSED),
        *((NOON + n * SECOND, RunState.QUEUED) for n in range(15, 21)),
    ]
    assert Run.objects.get(state=RunState.MISSED).count == 14


@pytest.mark.parametrize("edit", EDITS)
def test_two_edits_in_a_row_run_nothing_twice(edit):
    task = scheduled("* * * * * *")
    with clock_at(NOON + 2 * SECOND):
        Task.objects.update(schedule="*/1 * * * * *")
    with clock_at(NOON + 4 * SECOND):
        edit(Task.objects.get(pk=task.pk))
    tick("default", NOON + 4 * SECOND)
    assert runs() == [(NOON + n * SECOND, RunState.QUEUED) for n in range(1, 5)]


def test_due_occurrences_that_use_up_the_iterations_retire_the_task():
    task = scheduled("* * * * * *", iterations=2)
    with clock_at(NOON + 4 * SECOND):
        update(task)
    tick("default", NOON + 4 * SECOND)
    assert runs() == [(NOON + n * SECOND, RunState.QUEUED) for n in (1, 2)]
    task.refresh_from_db()
    assert (task.state, task.runs_planned) == (TaskState.RETIRED, 2)


def test_a_pending_first_run_runs_once():
    task = scheduled("* * * * * *", wait_for_schedule=False)
    with clock_at(NOON + 3 * SECOND):
        save(task)
    tick("default", NOON + 3 * SECOND)
    assert runs() == [(NOON + n * SECOND, RunState.QUEUED) for n in range(1, 4)]


def test_a_spread_run_starts_as_late_as_it_would_have():
    [planned, edited] = [scheduled(spread=MINUTE), scheduled(spread=MINUTE)]
    tick("default", NOON + MINUTE)
    expected = {run.task_id: run.ready_at for run in Run.objects.all()}
    Run.objects.all().delete()
    Task._base_manager.update(next_run=NOON + MINUTE, planned_until=None)
    with clock_at(NOON + MINUTE):
        planned.pause()
        edited.pause()
    assert {run.task_id: run.ready_at for run in Run.objects.all()} == expected


@pytest.mark.parametrize("edit", [save, update, Task.pause])
def test_workers_and_receivers_are_notified_of_runs_planned_by_an_edit(edit):
    task, heard = scheduled(), []

    def hear(signal, runs=None, run=None, **kwargs):
        heard.append((signal, [each.due_at for each in runs or [run]]))

    for signal in (signals.run_planned, signals.runs_queued):
        signal.connect(hear)
    try:
        with clock_at(NOON + MINUTE + SECOND):
            edit(task)
    finally:
        for signal in (signals.run_planned, signals.runs_queued):
            signal.disconnect(hear)
    assert heard == [
        (signals.run_planned, [NOON + MINUTE]),
        (signals.runs_queued, [NOON + MINUTE]),
    ]


@pytest.mark.parametrize("delete", [Task.delete, lambda task: Task.objects.all().delete()])
def test_due_occurrences_of_a_deleted_task_do_not_run(delete):
    task = scheduled()
    with clock_at(NOON + MINUTE + SECOND):
        delete(task)
    assert [run.state for run in Run.objects.all()] == [RunState.MISSED]


def test_many_tasks_that_are_due_are_settled_by_few_statements():
    tasks = [scheduled(f"{n % 60} * * * * *" if n % 2 else "* * * * *") for n in range(100)]
    with clock_at(NOON + MINUTE), CaptureQueriesContext(connection) as queries:
        Task.objects.update(schedule="0 0 1 1 *")
    assert len(queries) <= 25
    assert Run.objects.filter(state=RunState.QUEUED).count() >= len(tasks) / 2
