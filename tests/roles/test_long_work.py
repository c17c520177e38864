"""Work of any length never keeps a heartbeat from what is due, nor from renewing its lease."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.engines import dispatch
from sisy.heartbeat import Heartbeat, clock_rollback, plan, rescue, retention, timing_check
from sisy.heartbeat import role as roles
from sisy.models import Missed, Process, Run, RunState, Task, task_with_callable
from sisy.planning import activation
from sisy.runtime.loop import ENDLESS, Turn
from tests.app import jobs
from tests.roles.steps import LEASE
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clocks")]

A_CHUNK_TAKES = timedelta(seconds=0.2)


@pytest.fixture
def slow(monkeypatch, clocks):
    """Return what lets a function of a module take as long as a chunk does."""

    def slow(module, name, takes=A_CHUNK_TAKES):
        does = getattr(module, name)

        def does_slowly(*args, **kwargs):
            clocks.go_on(takes)
            return does(*args, **kwargs)

        monkeypatch.setattr(module, name, does_slowly)

    return slow


def stored(count, **fields):
    schedules = (f"{n % 60} {n // 60 % 24} * * *" for n in range(count))
    return Task.objects.bulk_create(
        task_with_callable(jobs.noop, schedule=schedule, timezone="UTC", **fields)
        for schedule in schedules
    )


def passes(heartbeat, clocks, until):
    """Let a heartbeat make passes until something holds, and return how many it took."""
    for count in range(1, 200):
        wait = heartbeat._pass().wait
        clocks.go_on(timedelta(seconds=max(wait, 0.001)))
        if until():
            return count
    raise AssertionError("It did not come to that in 200 passes.")


def none_is_unplanned():
    return not Task.objects.unplanned().exists()


def test_tasks_of_each_second_are_planned_in_time_while_others_are_replanned(
    clocks, slow, monkeypatch
):
    monkeypatch.setattr(timing_check, "RESCHEDULE_BATCH", 10)
    slow(activation, "store_starts")
    heartbeat = Heartbeat()
    often = [scheduled("* * * * * *") for _ in range(3)]
    stored(1000)
    heartbeat._pass()
    Task.objects.exclude(pk__in=[task.pk for task in often]).update(timezone="Europe/Berlin")
    leases = set()

    def is_done():
        leases.add(Process.objects.get().lease_until - clocks.moment > LEASE / 2)
        return none_is_unplanned()

    assert passes(heartbeat, clocks, is_done) >= 100
    assert leases == {True}
    runs = Run.objects.filter(task__in=often)
    due = runs.filter(due_at__lt=clocks.moment)
    assert due.count() == len(often) * int((clocks.moment - NOON).total_seconds())
    assert {run.state for run in runs} == {RunState.QUEUED}
    lateness = max(run.planned_at - run.due_at for run in due)
    assert lateness <= timedelta(seconds=0.3)


@pytest.mark.parametrize("missed", Missed.values)
def test_occurrences_due_while_a_task_awaits_replanning_run(clocks, slow, monkeypatch, missed):
    monkeypatch.setattr(timing_check, "RESCHEDULE_BATCH", 10)
    slow(activation, "store_starts", SECOND)
    heartbeat = Heartbeat()
    stored(200, missed=missed)
    heartbeat._pass()
    soon = NOON + 5 * SECOND
    Task.objects.update(schedule=f"{soon.minute} {soon.hour} * * * {soon.second}")
    passes(heartbeat, clocks, none_is_unplanned)
    heartbeat._pass()
    assert clocks.moment > soon + 10 * SECOND
    assert Run.objects.filter(due_at=soon, state=RunState.QUEUED).count() == 200
    assert not Run.objects.filter(state=RunState.MISSED).exists()


def test_a_chunk_is_replanned_by_few_statements_however_different_its_tasks_are():
    stored(3 * timing_check.RESCHEDULE_BATCH)
    Task.objects.update(timezone="Asia/Kathmandu")
    with CaptureQueriesContext(connection) as queries:
        assert timing_check.compute_unplanned("default", NOON) == 3 * timing_check.RESCHEDULE_BATCH
    assert none_is_unplanned()
    assert len(queries) <= 4 * 6


def test_a_chunk_is_planned_by_few_statements_however_different_its_tasks_are():
    tasks = [scheduled(f"{n} 12 * * *") for n in range(1, 60)]
    with CaptureQueriesContext(connection) as queries:
        assert len(plan.plan_due("default", NOON + DAY).runs) == len(tasks)
    assert len(queries) <= 12 + len(tasks) * (connection.vendor == "mysql")


def many_due(monkeypatch):
    monkeypatch.setattr(plan, "PLAN_BATCH", 10)
    for task in stored(50):
        Task._base_manager.filter(pk=task.pk).update(next_run=NOON)
    return (plan, "_plan_tasks"), Task.objects.due(NOON + HOUR)


def many_unplanned(monkeypatch):
    monkeypatch.setattr(timing_check, "RESCHEDULE_BATCH", 10)
    stored(50)
    Task.objects.update(timezone="Asia/Kathmandu")
    return (activation, "store_starts"), Task.objects.unplanned()


def many_edited_by_raw_sql(monkeypatch):
    monkeypatch.setattr(timing_check, "RESCHEDULE_BATCH", 10)
    stored(50)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sisy_task SET timezone = 'Asia/Kathmandu'")
    return (activation, "store_starts"), Task.objects.with_stale_timing()


def many_dead_processes(monkeypatch):
    for _ in range(20):
        gone = worker()
        Process.objects.filter(pk=gone.pk).update(end_reason="killed")
    return (rescue, "_rescue"), Process.objects.reported_dead()


def much_surplus_history(monkeypatch):
    for task in [scheduled("0 0 1 1 *", history_runs=1) for _ in range(10)]:
        Run.objects.bulk_create(
            task.new_run(now=NOON, state=RunState.SUCCEEDED, finished_at=NOON) for _ in range(5)
        )
    surplus = Run.objects.filter(pk__lt=max(Run.objects.values_list("pk", flat=True)))
    return (retention, "_prune"), surplus.exclude(
        pk__in=[task.runs.latest("pk").pk for task in Task.objects.all()]
    )


def many_left_by_a_clock_that_was_set_back(monkeypatch):
    monkeypatch.setattr(clock_rollback, "REPAIR_BATCH", 10)
    stored(50)
    Task._base_manager.update(planned_until=NOON + DAY)
    return (clock_rollback, "_restart_these"), Task.objects.filter(
        planned_until__gt=NOON + 30 * MINUTE
    )


@pytest.mark.parametrize(
    "much",
    [
        many_due,
        many_unplanned,
        many_edited_by_raw_sql,
        many_dead_processes,
        much_surplus_history,
        many_left_by_a_clock_that_was_set_back,
    ],
)
def test_a_pass_ends_soon_and_the_next_one_continues(clocks, slow, monkeypatch, much):
    (module, name), left = much(monkeypatch)
    before = left.count()
    slow(module, name)
    heartbeat = Heartbeat()
    clocks.go_on(SECOND)
    longest, came_at_once = timedelta(0), []

    def is_done():
        return not left.exists()

    for _ in range(300):
        begun, at = left.count(), clocks.moment
        wait = heartbeat._pass().wait
        longest = max(longest, clocks.moment - at)
        if begun > left.count() > 0:
            came_at_once.append(wait == 0)
        clocks.go_on(timedelta(seconds=wait) if wait > 0 else timedelta(milliseconds=1))
        if is_done():
            break
    assert is_done()
    assert before >= 10
    assert any(came_at_once)
    # A part of each kind of work, and never all of one kind.
    assert longest <= 2 * A_CHUNK_TAKES


def test_runs_of_a_removed_engine_are_rejected_in_batches(monkeypatch):
    monkeypatch.setattr(dispatch, "DISPATCH_BATCH", 10)
    task = scheduled("0 0 1 1 *")
    runs = [task.new_run(now=NOON) for _ in range(25)]
    for run in runs:
        run.engine = "gone"
    Run.objects.bulk_create(runs)
    with CaptureQueriesContext(connection) as queries:
        counts = [dispatch.refuse_unknown("default", NOON + HOUR) for _ in range(4)]
    assert counts == [10, 10, 5, 0]
    assert len(queries) <= 4 * 16
    assert {run.reason for run in Run.objects.all()} == {"SISY_ENGINES has no engine 'gone'."}


def test_a_turn_ends_when_its_time_is_over_and_work_is_left(clocks):
    turn = Turn(roles.PASS_BUDGET)
    assert not turn.ends_here()
    clocks.go_on(SECOND)
    assert not turn.has_left_work
    assert turn.ends_here()
    assert turn.has_left_work
    assert not ENDLESS.ends_here()


def test_a_heartbeat_of_a_slow_host_waits_when_nothing_is_left(clocks, slow):
    slow(roles, "look", timedelta(seconds=0.3))
    wait = Heartbeat()._pass().wait
    assert wait > 0
