"""An edit right before a due moment: what was planned ahead is withdrawn, and nothing is lost."""

import random
from contextlib import contextmanager

import pytest
from django.db import connection

from sisy import signals
from sisy.heartbeat import tick
from sisy.heartbeat.clock_rollback import repair
from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.heartbeat.timing_check import audit
from sisy.models import Run, RunState, Task, TaskState
from sisy.records.task_fields import SHAPING_FIELDS
from sisy.worker.claim import claim
from tests.roles.steps import finish
from tests.support.clocks import clock_at
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = pytest.mark.django_db(transaction=True)

DUE = NOON + MINUTE
EDITED = DUE - SECOND  # when the tasks are edited, in the last second before they are due
PLANNED = EDITED - SECOND / 2


@pytest.fixture
def task():
    """Return a task whose next occurrence was planned ahead."""
    with clock_at(NOON):
        scheduled()
    assert plan_ahead("default", PLANNED) == 1
    return Task.objects.get()


@pytest.fixture
def withdrawn():
    """Return the runs that receivers hear were withdrawn."""
    heard = []

    def hear(run, **sent):
        heard.append(run)

    signals.run_withdrawn.connect(hear)
    yield heard
    signals.run_withdrawn.disconnect(hear)


def runs():
    return list(Run.objects.order_by("due_at").values_list("due_at", "state"))


CALLED = ("noop", "returns")
CHANGED = {
    "label": "another",
    "target_path": "tests.app.jobs.returns",
    "queue": "another",
    "priority": 7,
    "spread": 10 * SECOND,
}


def saved(task, **fields):
    for name, value in fields.items():
        setattr(task, name, value)
    task.save()


def updated(task, **fields):
    Task.objects.filter(pk=task.pk).update(**fields)


def updated_in_bulk(task, **fields):
    for name, value in fields.items():
        setattr(task, name, value)
    Task.objects.bulk_update([task], list(fields))


@pytest.mark.parametrize("edit", [saved, updated, updated_in_bulk])
@pytest.mark.parametrize("name", CHANGED)
def test_a_run_that_copied_an_old_value_is_planned_again(task, withdrawn, edit, name):
    [planned] = Run.objects.all()
    with clock_at(EDITED):
        edit(task, **{name: CHANGED[name]})
    assert [run.pk for run in withdrawn] == [planned.pk]
    assert runs() == []
    task = Task.objects.get()
    assert (task.next_run, task.runs_planned, task.last_run) == (DUE, 0, None)
    plan_ahead("default", EDITED)
    tick("default", DUE)
    run = Run.objects.get()
    assert run.due_at == DUE
    if name != "spread":
        assert getattr(run, name) == CHANGED[name]


@pytest.mark.parametrize("edit", [saved, updated])
@pytest.mark.parametrize(
    "fields",
    [{"schedule": "0 0 1 1 *"}, {"timezone": "Asia/Kathmandu", "schedule": "0 0 1 1 *"}],
    ids=str,
)
def test_an_old_schedule_leaves_nothing_in_the_ledger(task, withdrawn, edit, fields):
    with clock_at(EDITED):
        edit(task, **fields)
    tick("default", DUE)
    assert runs() == []
    assert len(withdrawn) == 1
    task = Task.objects.get()
    assert (task.runs_planned, task.last_run) == (0, None)
    assert task.next_run > DUE


@contextmanager
def a_lock_until(moment):
    """Let the first statement that writes tasks wait until a moment, as for another's lock."""
    waited = []

    def wait(execute, sql, params, many, context):
        if sql.startswith(("UPDATE", "SELECT")) and "sisy_task" in sql and not waited:
            is_lock = sql.startswith("UPDATE") or "FOR UPDATE" in sql
            if is_lock:
                waited.append(sql)
                time.moment = moment
        return execute(sql, params, many, context)

    with clock_at(EDITED) as time, connection.execute_wrapper(wait):
        yield
    assert waited


@pytest.mark.parametrize("fields", [{"schedule": "0 0 1 1 *"}, {"queue": "another"}], ids=str)
@pytest.mark.parametrize("edit", [saved, updated])
def test_what_falls_due_while_an_edit_waits_for_a_lock_still_runs(task, withdrawn, edit, fields):
    with a_lock_until(DUE + SECOND / 2):
        edit(task, **fields)
    assert runs() == [(DUE, RunState.QUEUED)]
    assert withdrawn == []
    with clock_at(DUE + SECOND):
        tick("default", DUE + SECOND)
        plan_ahead("default", DUE + SECOND)
    assert runs()[0] == (DUE, RunState.QUEUED)
    assert len({due for due, _ in runs()}) == len(runs())


@pytest.mark.parametrize("edit", [saved, updated])
def test_an_occurrence_that_a_new_schedule_names_too_runs_once(task, edit):
    with clock_at(EDITED):
        edit(task, schedule="* * * * * 0")
    plan_ahead("default", EDITED)
    tick("default", DUE)
    assert runs() == [(DUE, RunState.QUEUED)]


def test_values_that_no_run_depends_on_withdraw_nothing(task, withdrawn):
    with clock_at(EDITED):
        saved(task, userdata={"n": 1}, max_attempts=3, timeout=SECOND)
        updated(task, max_attempts=2)
    assert withdrawn == []
    assert runs() == [(DUE, RunState.QUEUED)]


def test_a_paused_task_does_not_run(task, withdrawn):
    with clock_at(EDITED):
        assert task.pause()
    tick("default", DUE)
    assert runs() == []
    assert len(withdrawn) == 1
    with clock_at(DUE + SECOND):
        task.resume()
    tick("default", DUE + MINUTE)
    assert runs() == [(DUE + MINUTE, RunState.QUEUED)]


def test_a_deleted_task_leaves_no_cancelled_occurrence(task, withdrawn):
    with clock_at(EDITED):
        task.delete()
    assert runs() == []
    assert len(withdrawn) == 1


def test_tasks_deleted_together_leave_none_either(task, withdrawn):
    with clock_at(EDITED):
        Task.objects.all().delete()
    assert runs() == []


def test_fewer_iterations_are_never_exceeded(withdrawn):
    with clock_at(NOON):
        task = scheduled("* * * * * *", iterations=9)
    plan_ahead("default", NOON)
    with clock_at(NOON):
        saved(Task.objects.get(), iterations=1)
    tick("default", NOON + 5 * SECOND)
    assert Run.objects.filter(task=task).exclude(state=RunState.MISSED).count() == 1


def test_what_fell_due_before_the_edit_still_runs(task, withdrawn):
    with clock_at(DUE):
        saved(task, schedule="0 0 1 1 *", queue="another")
    assert withdrawn == []
    assert Run.objects.get().queue == "default"


def test_what_has_started_stays(task, withdrawn):
    [run] = claim(worker(), ["default"], 1, DUE)
    with clock_at(EDITED):  # a host whose clock is a little behind
        saved(task, queue="another")
    assert withdrawn == []
    finish(run, DUE)
    assert runs() == [(DUE, RunState.SUCCEEDED)]


def test_only_the_occurrences_still_to_come_are_withdrawn():
    with clock_at(NOON):
        scheduled("* * * * * *")
    plan_ahead("default", NOON)
    with clock_at(NOON + SECOND):
        saved(Task.objects.get(), queue="another")
    assert runs() == [(NOON + SECOND, RunState.QUEUED)]
    task = Task.objects.get()
    assert (task.last_run, task.next_run) == (NOON + SECOND, NOON + 2 * SECOND)
    assert task.runs_planned == 1
    plan_ahead("default", NOON + SECOND)
    queues = Run.objects.order_by("due_at").values_list("queue", flat=True)
    assert list(queues) == ["default", "another", "another"]


def test_a_first_run_that_does_not_wait_for_its_schedule_is_still_owed():
    with clock_at(NOON):
        scheduled(wait_for_schedule=False, start_running=NOON + SECOND)
    plan_ahead("default", NOON)
    assert runs() == [(NOON + SECOND, RunState.QUEUED)]
    with clock_at(NOON):
        saved(Task.objects.get(), queue="another")
    assert Task.objects.get().is_due_at_once
    tick("default", NOON + SECOND)
    assert runs() == [(NOON + SECOND, RunState.QUEUED)]


def test_a_change_by_raw_sql_is_withdrawn_by_the_audit(task, withdrawn):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sisy_task SET schedule = '0 0 1 1 *'")
    with clock_at(EDITED):
        audit("default", EDITED, 0, task.pk)
    assert runs() == []
    assert Task.objects.get().next_run > DUE


def test_a_clock_that_is_set_back_withdraws_what_was_planned_ahead(task, withdrawn):
    repair("default", DUE - 4 * HOUR)
    assert runs() == []
    tick("default", DUE - 4 * HOUR + MINUTE)
    assert runs() == [(DUE - 4 * HOUR + MINUTE, RunState.QUEUED)]


def test_edits_of_other_tasks_withdraw_nothing(task, withdrawn):
    with clock_at(EDITED):
        other = scheduled("0 0 1 1 *")
        saved(other, queue="another")
        updated(other, schedule="0 0 2 1 *")
        other.delete()
    assert withdrawn == []
    assert runs() == [(DUE, RunState.QUEUED)]


def test_every_column_that_a_run_copies_is_known_to_shape_it():
    task = scheduled()
    run = task.new_run(now=NOON)
    names = {field.attname for field in run._meta.concrete_fields}
    copied = names & {field.attname for field in task._meta.concrete_fields} - {"id", "state"}
    assert copied <= SHAPING_FIELDS


def test_random_edits_neither_lose_nor_repeat_an_occurrence():
    chance = random.Random(1)
    with clock_at(NOON):
        task = scheduled("* * * * * *")
    edits = [
        lambda: saved(Task.objects.get(), queue=chance.choice("abc")),
        lambda: updated(task, priority=chance.randrange(5)),
        lambda: updated(task, schedule="* * * * * *"),
        lambda: saved(Task.objects.get(), label=chance.choice("abc")),
        lambda: saved(Task.objects.get(), target_path=f"tests.app.jobs.{chance.choice(CALLED)}"),
    ]
    for step in range(120):
        now = NOON + step * SECOND / 4
        tick("default", now)
        if chance.random() < 0.6:
            plan_ahead("default", now)
        if chance.random() < 0.5:
            with clock_at(now):
                chance.choice(edits)()
    tick("default", now + SECOND)
    dues = [due for due, _ in runs() if due <= now]
    assert dues == [NOON + n * SECOND for n in range(1, len(dues) + 1)]
    assert len(dues) == 29
    assert Task.objects.get().state == TaskState.ACTIVE
