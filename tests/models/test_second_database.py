"""Tasks have a database of their own: runs leave with the caller's transactions all the same."""

import random
from contextlib import ExitStack

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError

from sisy.models import Run, Task
from tests.app import django_jobs, jobs
from tests.models.databases import second_database
from tests.support.moments import MINUTE, NOON

pytestmark = pytest.mark.django_db(transaction=True)


class TasksElsewhere:
    def db_for_read(self, model, **hints):
        return self.db_for_write(model)

    def db_for_write(self, model, **hints):
        return "tasks" if model._meta.app_label == "sisy" else "default"


@pytest.fixture(autouse=True)
def tasks(tmp_path, settings, at_time):
    at_time(NOON)
    with second_database("tasks", tmp_path / "tasks.sqlite3"):
        settings.DATABASE_ROUTERS = [TasksElsewhere()]
        yield


def runs():
    return list(Run.objects.using("tasks").order_by("pk").values_list("payload", flat=True))


def test_without_a_transaction_a_run_is_submitted_at_once():
    task = Task.run_once(jobs.noop, {"n": 1})
    assert (task._state.db, runs()) == ("tasks", [{"n": 1}])


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("goes_wrong", [False, True])
def test_a_run_is_submitted_when_the_callers_transaction_commits(many, goes_wrong):
    with transaction.atomic():
        if many:
            task = Task.bulk_run_once(jobs.noop, [{"n": 1}, {"n": 2}])
        else:
            task = Task.run_once(jobs.noop, {"n": 1})
        assert (task.pk, runs()) == (None, [])
        transaction.set_rollback(goes_wrong)
    sent = [] if goes_wrong else [{"n": 1}, {"n": 2}][: 1 + many]
    assert runs() == sent
    assert (task.pk is None) == goes_wrong
    assert Task.objects.count() == (0 if goes_wrong else 1)


def test_user_data_is_captured_at_the_call():
    data = {"n": [1]}
    with transaction.atomic():
        Task.run_once(jobs.noop, data, priority=5)
        data["n"].append(2)
    assert runs() == [{"n": [1]}]
    assert Task.objects.get().priority == 5


def test_values_that_cannot_be_stored_are_rejected_at_the_call():
    with transaction.atomic():
        with pytest.raises(ValueError, match="priority must be"):
            Task.run_once(jobs.noop, priority=1000)
        with pytest.raises(ValueError, match="is in the past"):
            Task.run_once(jobs.noop, delay_until=NOON - MINUTE)
    assert runs() == []


def test_a_delay_that_ends_before_the_commit_starts_the_run_at_once(at_time):
    with transaction.atomic():
        Task.run_once(jobs.noop, delay_until=NOON + MINUTE)
        at_time(NOON + 2 * MINUTE)
    run = Run.objects.get()
    assert (run.planned_at, run.ready_at) == (NOON + 2 * MINUTE, NOON + 2 * MINUTE)


@pytest.mark.parametrize("seed", range(5))
def test_a_run_is_submitted_if_no_enclosing_block_is_rolled_back(seed):
    """In whatever order transactions and savepoints of both databases are nested."""
    chance = random.Random(seed)
    expected = 0
    for _ in range(30):
        fates = [
            (chance.choice(["default", "tasks"]), chance.random() < 0.2)
            for _ in range(chance.randrange(5))
        ]
        with ExitStack() as stack:
            for alias, goes_wrong in fates:
                stack.enter_context(transaction.atomic(using=alias))
                if goes_wrong:
                    stack.callback(transaction.set_rollback, True, using=alias)
            Task.run_once(jobs.noop)
        expected += not any(goes_wrong for _, goes_wrong in fates)
        assert Run.objects.using("tasks").count() == expected


@pytest.mark.parametrize("inner", ["default", "tasks"])
def test_a_savepoint_that_is_rolled_back_takes_the_run_with_it(inner):
    with transaction.atomic(), transaction.atomic(using="tasks"):
        with transaction.atomic(using=inner):
            Task.run_once(jobs.noop, {"n": 1})
            transaction.set_rollback(True, using=inner)
        Task.run_once(jobs.noop, {"n": 2})
    assert runs() == [{"n": 2}]


def test_an_unsaved_task_has_no_runs():
    gone = Task.run_iterations(jobs.noop)
    gone.run_now()
    gone.delete()
    orphan = Run.objects.get()
    Run.objects.update(state="queued", finished_at=None)
    with transaction.atomic():
        task = Task.run_once(jobs.noop)
        assert (task.cancel_runs(), task.cancel_queued(), task.counts()) == (0, 0, {})
    orphan.refresh_from_db()
    assert orphan.state == "queued"


@pytest.mark.django_db
def test_the_transaction_of_a_test_case_delays_nothing():
    assert Task.run_once(jobs.noop).pk is not None


def test_enqueue_in_a_transaction_on_another_database_is_rejected():
    """Its result has an id at once, and so its run must be stored."""
    with transaction.atomic():
        with pytest.raises(TransactionManagementError) as caught:
            django_jobs.add.enqueue(1)
        transaction.on_commit(lambda: django_jobs.add.enqueue(1))
    assert str(caught.value) == (
        "tests.app.django_jobs.add is enqueued in a transaction on 'default', but its run would "
        "be stored in 'tasks' and would survive a rollback. Enqueue it after the commit: "
        "transaction.on_commit(partial(task.enqueue, …), using='default')."
    )
    assert Run.objects.count() == 1
