"""Several heartbeats that tick at the same moment, or at moments that differ."""

from functools import partial

import pytest
from django.db import connection, transaction

from sisy.heartbeat import Heartbeat, plan, tick
from sisy.heartbeat.role import LOCKED_RETRY_INTERVAL
from sisy.models import Run, RunState, Task, TaskState
from tests.concurrency.threads import BEFORE_IT_WRITES_TASKS, at_once, in_the_middle
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

only_with_row_locks = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has one writer at a time, and no row locks"
)


@pytest.fixture
def small_chunks(monkeypatch):
    """Let the ticks meet in the middle of a pass."""
    monkeypatch.setattr(plan, "PLAN_BATCH", 7)


def four_ticks(now):
    return at_once(*[partial(tick, "default", now)] * 4)


def ledger(**columns):
    rows = Run.objects.filter(**columns).order_by("task", "due_at")
    return list(rows.values_list("task", "due_at"))


@pytest.mark.usefixtures("small_chunks")
def test_four_ticks_at_once_plan_every_occurrence_once():
    each_second = [scheduled("* * * * * *") for _ in range(20)]
    each_other = [scheduled("* * * * * */2") for _ in range(20)]
    made = [made for n in range(1, 11) for made in four_ticks(NOON + n * SECOND)]
    assert ledger(state=RunState.QUEUED) == [
        *((task.pk, NOON + n * SECOND) for task in each_second for n in range(1, 11)),
        *((task.pk, NOON + n * SECOND) for task in each_other for n in range(2, 11, 2)),
    ]
    assert sum(one.planned for one in made) == Run.objects.count()
    for tasks, planned, step in [(each_second, 10, SECOND), (each_other, 5, 2 * SECOND)]:
        kept = Task.objects.filter(pk__in=[task.pk for task in tasks])
        columns = ("planned_until", "last_run", "next_run", "runs_planned", "state")
        assert set(kept.values_list(*columns)) == {
            (NOON + 10 * SECOND, NOON + 10 * SECOND, NOON + 10 * SECOND + step, planned, "active")
        }


@pytest.mark.usefixtures("small_chunks")
def test_four_ticks_at_once_after_an_outage_record_each_gap_once():
    tasks = [scheduled("0 * * * *") for _ in range(20)]
    made = four_ticks(NOON + DAY + MINUTE)
    assert ledger(state=RunState.MISSED, count=23) == [(task.pk, NOON + HOUR) for task in tasks]
    assert ledger(state=RunState.QUEUED) == [(task.pk, NOON + DAY) for task in tasks]
    assert sum(one.missed for one in made) == 23 * len(tasks)


@pytest.mark.usefixtures("small_chunks")
def test_heartbeats_that_tick_at_different_moments_plan_every_occurrence_once():
    tasks = [scheduled("* * * * * *") for _ in range(20)]
    for begin in (0, 4, 8):
        moments = [NOON + (begin + n) * SECOND for n in (2, 4, 1, 3)]
        at_once(*(partial(tick, "default", moment) for moment in moments))
        tick("default", NOON + (begin + 4) * SECOND)
    assert ledger() == [(task.pk, NOON + n * SECOND) for task in tasks for n in range(1, 13)]
    assert {stored(task).next_run for task in tasks} == {NOON + 13 * SECOND}


@pytest.mark.usefixtures("small_chunks")
def test_four_ticks_at_once_plan_no_run_more_than_the_iterations():
    tasks = [scheduled("* * * * * *", iterations=3) for _ in range(20)]
    for n in (2, 4, 6):
        four_ticks(NOON + n * SECOND)
    assert ledger() == [(task.pk, NOON + n * SECOND) for task in tasks for n in (1, 2, 3)]
    kept = {
        (stored(task).state, stored(task).next_run, stored(task).runs_planned) for task in tasks
    }
    assert kept == {(TaskState.RETIRED, None, 3)}


@pytest.mark.usefixtures("small_chunks")
def test_a_task_that_cannot_be_planned_is_set_aside_once_by_four_ticks():
    tasks = [scheduled() for _ in range(20)]
    Task.objects.filter(pk=tasks[3].pk).update(timezone="Mars/Olympus", next_run=NOON + MINUTE)
    made = four_ticks(NOON + MINUTE)
    assert sum(one.broken for one in made) == 1
    assert stored(tasks.pop(3)).state == TaskState.BROKEN
    assert ledger() == [(task.pk, NOON + MINUTE) for task in tasks]


def test_four_ticks_at_once_replan_tasks_that_an_update_changed():
    tasks = [scheduled() for _ in range(20)]
    four_ticks(NOON + MINUTE)
    Task.objects.update(schedule="*/2 * * * *")
    four_ticks(NOON + MINUTE + SECOND)
    assert {stored(task).next_run for task in tasks} == {NOON + 2 * MINUTE}
    four_ticks(NOON + 2 * MINUTE)
    assert ledger() == [(task.pk, NOON + n * MINUTE) for task in tasks for n in (1, 2)]


@pytest.fixture
def stale_look(monkeypatch):
    """Return a function: the next tick sees the tasks as they are now, without any lock."""

    def look():
        locks, seen = plan._lock_due, [list(Task.objects.order_by("pk"))]
        monkeypatch.setattr(plan, "_lock_due", lambda *args: seen.pop() if seen else locks(*args))

    return look


def test_occurrences_planned_by_another_heartbeat_are_not_repeated(stale_look):
    tasks = [scheduled(), scheduled()]
    stale_look()
    tasks[0].new_run(now=NOON, due_at=NOON + MINUTE).save()
    Task.objects.filter(pk=tasks[0].pk).update(
        planned_until=NOON + MINUTE, next_run=NOON + 2 * MINUTE, runs_planned=1
    )
    tick("default", NOON + MINUTE)
    assert ledger() == [(task.pk, NOON + MINUTE) for task in tasks]
    kept = {
        (stored(task).state, stored(task).next_run, stored(task).runs_planned) for task in tasks
    }
    assert kept == {(TaskState.ACTIVE, NOON + 2 * MINUTE, 1)}


def test_occurrences_are_not_repeated_after_their_history_was_pruned(stale_look):
    task = scheduled()
    stale_look()
    Task.objects.filter(pk=task.pk).update(
        planned_until=NOON + MINUTE, next_run=NOON + 2 * MINUTE, runs_planned=1
    )
    tick("default", NOON + MINUTE)
    assert not Run.objects.exists()
    assert (stored(task).runs_planned, stored(task).next_run) == (1, NOON + 2 * MINUTE)


def test_a_task_that_was_paused_unseen_is_not_planned(stale_look):
    task, other = scheduled(), scheduled()
    stale_look()
    task.pause("holidays")
    tick("default", NOON + MINUTE)
    assert ledger() == [(other.pk, NOON + MINUTE)]
    assert (stored(task).state, stored(task).state_reason) == (TaskState.PAUSED, "holidays")


@only_with_row_locks
def test_a_tick_waits_for_no_other_tick():
    task = scheduled()
    planned_beside_it = []

    def meanwhile():
        later = scheduled("* * * * * *")
        tick("default", NOON + MINUTE)
        planned_beside_it.extend(ledger())
        return later

    step = partial(tick, "default", NOON + MINUTE)
    _, later = in_the_middle(step, meanwhile, BEFORE_IT_WRITES_TASKS)
    assert {pk for pk, _ in planned_beside_it} == {later.pk}
    assert (task.pk, NOON + MINUTE) in ledger()


@only_with_row_locks
def test_a_task_locked_by_an_open_transaction_is_planned_a_bit_later(at_time):
    """The heartbeat waits for nobody, and looks again soon."""
    task, other = scheduled(), scheduled()
    at_time(NOON + MINUTE)
    heartbeat = Heartbeat()
    with transaction.atomic():
        task.userdata["n"] = 1
        task.save()
        [held_up] = at_once(heartbeat._pass)
    assert (held_up.tick.is_held_up, held_up.wait) == (True, LOCKED_RETRY_INTERVAL)
    assert ledger() == [(other.pk, NOON + MINUTE)]
    following = heartbeat._pass()
    assert (following.tick.is_held_up, following.wait) == (False, 0.5)
    assert ledger() == [(task.pk, NOON + MINUTE), (other.pk, NOON + MINUTE)]
