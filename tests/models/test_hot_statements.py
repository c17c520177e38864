"""The hand-written statements return what the query sets of the same name return."""

from datetime import timedelta
from itertools import product

import pytest
from django.db import connection, models
from django.db.models import Q

from sisy.heartbeat.outlook import look
from sisy.models import Process, Queue, Role, Run, RunState, Task, TaskState
from sisy.store import claims, due, entries, levels, outcomes, retired, starts
from sisy.store.statements import Statement
from tests.app import jobs
from tests.support.moments import MINUTE, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

LATER = NOON + MINUTE
QUEUES = ("default", "other")
STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": statement
    for module in (claims, due, entries, outcomes, retired, starts)
    for name, statement in vars(module).items()
    if isinstance(statement, Statement)
}


@pytest.fixture
def ledger():
    """Return two tasks, with a run in each state, before and after a minute, of each kind."""
    tasks = [Task.for_once(jobs.noop, overlap=overlap).task for overlap in ("allow", "skip")]
    for task in tasks:
        task.save()
    moments, paths = (NOON, LATER + MINUTE), ("shop.a", "shop.b")
    kinds = product(RunState.values, moments, QUEUES, ("", "celery"), paths, tasks, range(2))
    runs = []
    for number, (state, ready_at, queue, engine, path, task, _) in enumerate(kinds):
        run = task.new_run(now=NOON, ready_at=ready_at)
        run.state, run.queue, run.engine, run.target_path = state, queue, engine, path
        run.priority = number % 3
        run.cancel_requested_at = NOON if number % 5 == 0 else None
        run.started_at = NOON if state == RunState.RUNNING or number % 7 == 0 else None
        run.unresolved_since = (None, NOON, LATER)[number % 3]
        runs.append(run)
    Run.objects.bulk_create(runs)
    return tasks


@pytest.fixture(autouse=True)
def missing_since_noon(settings):
    settings.SISY_MISSING_CODE_SECONDS = 60


def scope(*queues, engine="", missing=()):
    return claims.ClaimScope("default", queues, engine, LATER, missing)


def claimed(queue, engine, blocked=(), missing=()):
    seen = scope(queue, engine=engine, missing=missing)
    ordered = levels.first_of_each_priority("default", queue, engine)
    found = [
        run for level in ordered for run in claims.lock_first_ready(seen, Run, level, 50, blocked)
    ]
    assert {frozenset(run.get_deferred_fields()) for run in found} <= {claims.DEFERRED}
    return found


@pytest.mark.parametrize(("queue", "engine"), [*product((*QUEUES, "empty"), ("", "celery"))])
def test_the_first_ready_runs_of_a_queue_are_claimed(ledger, queue, engine):
    ready = Run.objects.ready(LATER).filter(queue=queue, engine=engine)
    assert claimed(queue, engine) == list(ready)
    [blocked, _] = ledger
    others = ready.exclude(task=blocked)
    assert claimed(queue, engine, blocked={blocked.pk}) == list(others[:50])
    is_left = Q(target_path="shop.b") & (Q(unresolved_since=None) | Q(unresolved_since__gt=NOON))
    resolvable = ready.exclude(is_left)
    assert claimed(queue, engine, missing={"shop.b"}) == list(resolvable[:50])
    ordered = levels.first_of_each_priority("default", queue)
    assert levels.ready_moments("default", ordered, LATER)[0] == (queue != "empty")


def test_runs_whose_task_was_deleted_are_claimed_to_be_cancelled(ledger):
    key = ledger[0].pk
    models.QuerySet.delete(Task.objects.filter(pk=key))
    assert key in {run.task_id for run in claimed("default", "", blocked={ledger[1].pk})}


def test_the_live_runs_of_tasks_are_those_that_run_or_could_start(ledger):
    [_, task] = ledger
    live = Run.objects.live().filter(task=task)
    known = live.values_list("pk", flat=True)[:3]
    may_wait = Q(unresolved_since=None) | Q(unresolved_since__gt=NOON)
    could_start = Run.objects.ready(LATER).filter(
        ~(Q(target_path="shop.a") & may_wait), queue="other", engine="", cancel_requested_at=None
    )
    expected = (live & (could_start.order_by() | Run.objects.possibly_running(LATER))).exclude(
        pk__in=list(known)
    )
    found = claims.live_runs(scope("other", missing={"shop.a"}), Run, [task.pk], known)
    assert len(found) > 10
    assert sorted(found, key=lambda run: run.pk) == list(expected.order_by("pk"))


def test_all_that_may_be_running_are_seen_however_many_are_queued(ledger, monkeypatch):
    monkeypatch.setattr(claims, "MAX_LIVE_RUNS", 1)
    tasks = Run.objects.filter(task__in=ledger)
    found = {run.pk for run in claims.live_runs(scope(*QUEUES), Run, [one.pk for one in ledger])}
    running = set(tasks.possibly_running(LATER).values_list("pk", flat=True))
    assert {RunState.QUEUED, RunState.RUNNING} == set(
        Run.objects.filter(pk__in=running).values_list("state", flat=True)
    )
    assert running < found
    assert len(found) == len(running) + 1


def test_tasks_are_read_and_the_exclusive_ones_are_locked(ledger):
    shared, exclusive = ledger
    pks = [shared.pk, exclusive.pk, 2**62]
    assert claims.read_tasks("default", Task, pks) == {task.pk: task for task in ledger}
    assert claims.lock_exclusive_tasks("default", Task, pks) == {exclusive.pk: exclusive}
    assert claims.read_tasks("default", Task, []) == {}


def test_the_statements_records_equal_djangos_in_every_value(ledger):
    found = claims.read_tasks("default", Task, [task.pk for task in ledger])
    for task in Task.objects.all():
        ignored = {"_state": None, "_loaded_values": None}
        assert vars(found[task.pk]) | ignored == vars(task) | ignored
        assert (found[task.pk]._state.db, found[task.pk]._state.adding) == ("default", False)


def test_paused_queues_are_left_out():
    Queue.objects.pause("default")
    Queue.objects.pause("other")
    Queue.objects.resume("other")
    assert claims.open_queues("default", ["default", "other", "new"]) == ["other", "new"]


def test_due_tasks_are_locked_and_looked_for():
    tasks = [Task.for_once(jobs.noop, label=str(number)).task for number in range(4)]
    for task in tasks:
        task.save()
    moments = [LATER, NOON, LATER + MINUTE, None]
    for task, moment in zip(tasks, moments, strict=True):
        Task.objects.filter(pk=task.pk).update(state=TaskState.ACTIVE)
        Task.objects.filter(pk=task.pk).update(next_run=moment)
    deferred = frozenset({"label"})
    found = due.lock_due_tasks("default", Task, LATER, 10, deferred)
    assert found == list(Task.objects.due(LATER)) == [tasks[1], tasks[0]]
    assert {frozenset(task.get_deferred_fields()) for task in found} == {deferred}
    assert due.lock_due_tasks("default", Task, LATER, 1) == found[:1]
    assert (due.any_due("default", NOON), due.any_due("default", NOON - MINUTE)) == (True, False)
    assert due.any_unplanned("default")


def test_a_heartbeat_looks_ahead(ledger):
    process = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=MINUTE)
    Process.join(Role.WORKER, using="default", now=NOON, lease=timedelta(hours=1))
    ahead = look(process, "default", NOON)
    assert (ahead.has_unplanned, ahead.has_seen_end) == (False, False)
    assert (ahead.next_run, ahead.next_ready) == (None, LATER + MINUTE)
    assert (ahead.first_expiry, ahead.last_expiry) == (LATER, NOON + timedelta(hours=1))
    process.delete()
    assert look(Process(pk=2**62), "default", NOON) is None


def test_ended_tasks_are_seen(ledger):
    pks = [task.pk for task in ledger]
    assert retired.any_retired("default", pks)
    Task.objects.filter(pk=pks[0]).update(state=TaskState.ACTIVE)
    assert not retired.any_retired("default", pks[:1])
    assert not retired.any_retired("default", [])
    assert retired.lock_retired("default", pks) == pks[1:]


def test_tasks_without_live_runs_have_ended(ledger):
    pks = [task.pk for task in ledger]
    assert retired.ended_among("default", pks) == []
    Run.objects.filter(task=pks[0], state__in=[RunState.QUEUED, RunState.RUNNING]).delete()
    assert retired.ended_among("default", pks) == pks[:1]
    assert retired.ended_among("default", pks) == list(
        Task.objects.ended().values_list("pk", flat=True)
    )


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("vendor", ["postgresql", "mysql", "sqlite"])
def test_each_statement_can_be_written_for_each_database(name, vendor):
    names = ("blocked", "engines", "known", "left_out", "missing", "queues", "runs", "tasks")
    text, params = STATEMENTS[name].written(vendor, {each: [1, 2] for each in names}, "id")
    assert "{" not in text
    assert ("SKIP LOCKED" in text) <= (vendor != "sqlite")
    assert ("= ANY(%" in text) <= (vendor == "postgresql")
    assert params


def test_a_statement_has_the_same_text_for_any_number_of_values_on_postgresql():
    texts = {claims.TASKS.written("postgresql", {"tasks": [1] * n})[0] for n in (1, 2, 3)}
    assert texts == {"SELECT  FROM sisy_task WHERE id = ANY(%(tasks)s)"}
    text, params = claims.TASKS.written("sqlite", {"tasks": [7, 8]})
    assert text.endswith("WHERE id IN (%(tasks_0)s, %(tasks_1)s)")
    assert params == {"tasks_0": 7, "tasks_1": 8}


def test_a_claim_and_a_poll_read_only_the_index_that_is_made_for_them(ledger):
    if connection.vendor != "sqlite":
        pytest.skip("EXPLAIN differs")
    level = {"queue": "default", "priority": 0, "since": NOON, "since_run": 0}
    poll = {f"{name}_0": value for name, value in level.items()}
    for statement, values in (
        (claims.LOCK_FIRST_READY, {"engine": "", "limit": 10, **level}),
        (Statement(levels.FIRST_OF_LEVEL.format(n=0)), poll),
    ):
        sql, params = statement.written("sqlite", {"now": NOON, **values}, "sisy_run.id")
        with connection.cursor() as cursor:
            texts = {name: str(value) for name, value in params.items()}
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", texts)
            plan = str(cursor.fetchall())
        assert (
            "sisy_queued_claim (engine=? AND queue=? AND priority=? AND (ready_at,run_id)>" in plan
        )
        assert "SCAN" not in plan
        assert "TEMP B-TREE" not in plan
