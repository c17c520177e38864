"""Runs keep the key of their task when it is deleted, and nothing is written to them."""

import copy
import pickle

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core import serializers
from django.db import IntegrityError, connection, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext

from sisy.exceptions import CallableError
from sisy.heartbeat import retention, tick
from sisy.heartbeat.clock_rollback import _shorten_retries
from sisy.migrations_ops import DeleteTask
from sisy.models import Run, RunState, Task, TaskState
from sisy.reports.durations import usual_by
from sisy.reports.errors import failing
from sisy.reports.explain import why_run
from sisy.reports.ledger import related
from sisy.syncing.migrations import MigratedTask
from sisy.worker.claim import claim
from tests.app import jobs
from tests.app.models import Counter
from tests.roles.steps import finish
from tests.support.moments import DAY, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def ended(task, state=RunState.SUCCEEDED, **columns):
    """Return a finished run of a task."""
    moments = {"started_at": NOON, "finished_at": NOON}
    run = task.new_run(now=NOON, state=state, **{**moments, **columns})
    run.save()
    return run


def bare(task):
    """Delete a task's row alone, as raw SQL does, and return its key."""
    key = task.pk
    models.QuerySet.delete(Task.objects.filter(pk=key))
    return key


@pytest.fixture
def orphan():
    """A finished run whose task was deleted."""
    run = ended(scheduled("@yearly", label="report", userdata={"n": 1}), payload={"n": 2})
    Task.objects.all().delete()
    return Run.objects.get(pk=run.pk)


def prefetched(run):
    return Run.objects.prefetch_related("task").get(pk=run.pk)


def joined(run):
    return Run.objects.select_related("task").get(pk=run.pk)


def refreshed(run):
    run._state.fields_cache["task"] = Task(pk=run.task_id)
    run.refresh_from_db()
    return run


def pickled_before(run):
    return pickle.loads(pickle.dumps(run))


def pickled_after(run):
    assert run.task is None
    return pickled_before(run)


def copied(run):
    assert run.task is None
    return copy.copy(run)


def deserialized(run):
    [one] = serializers.deserialize("json", serializers.serialize("json", [run]))
    one.save()
    return stored(run)


def listed(run):
    [one] = Run.objects.filter(task=run.task_id).iterator()
    return one


WAYS_TO_READ = [
    stored,
    prefetched,
    joined,
    refreshed,
    pickled_before,
    pickled_after,
    copied,
    deserialized,
    listed,
]


@pytest.mark.parametrize("read", WAYS_TO_READ)
def test_the_task_of_a_run_is_none_after_its_deletion_and_the_key_stays(orphan, read):
    key = orphan.task_id
    run = read(orphan)
    assert (run.task, run.task_id) == (None, key)
    run.save()
    assert stored(run).task_id == key


@pytest.mark.parametrize(
    "read", [each for each in WAYS_TO_READ if each not in (pickled_after, copied)]
)
def test_the_task_of_a_run_is_found_as_long_as_it_exists(read):
    task = scheduled("@yearly")
    run = ended(task)
    assert read(run).task == task


def test_a_missing_task_is_looked_up_once(orphan, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert orphan.task is None
        assert orphan.task is None


@pytest.mark.skipif(not hasattr(models, "FETCH_PEERS"), reason="Django 6.1 has fetch modes")
def test_the_tasks_of_several_runs_are_fetched_together(django_assert_num_queries):
    task, gone = scheduled("@yearly"), scheduled("@yearly")
    ended(task)
    ended(gone)
    bare(gone)
    with django_assert_num_queries(2):
        runs = list(Run.objects.fetch_mode(models.FETCH_PEERS).order_by("pk"))
        assert [run.task for run in runs] == [task, None]


@pytest.mark.django_db(transaction=True)
def test_the_task_of_a_run_is_none_in_async_code():
    # Called from a thread, async code uses the connection of that thread. Another one would stay
    # open, and PostgreSQL could not drop the database of the tests.
    async_to_sync(_in_async_code)()


async def _in_async_code():
    run = await sync_to_async(ended)(await sync_to_async(scheduled)("@yearly"))
    await Task.objects.all().adelete()
    assert (await Run.objects.select_related("task").aget(pk=run.pk)).task is None
    assert [one.task async for one in Run.objects.prefetch_related("task")] == [None]
    await run.arefresh_from_db()
    assert await sync_to_async(lambda: run.task)() is None
    again = await run.aretry()
    assert (again.retry_of_id, again.task_id == run.task_id) == (run.pk, False)


def row_versions():
    """Return where PostgreSQL keeps each row, and which transaction wrote it."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, ctid::text, xmin::text FROM sisy_run ORDER BY id")
        return cursor.fetchall()


def delete_one(task):
    task.delete()


def delete_many(task):
    Task.objects.filter(pk=task.pk).delete()


def delete_ended(task):
    Task.objects.filter(pk=task.pk).update(state=TaskState.RETIRED)
    assert retention.delete_ended("default") == 1


@pytest.mark.parametrize("delete", [delete_one, delete_many, delete_ended])
def test_deleting_a_task_writes_nothing_to_its_finished_runs(delete):
    task = scheduled("@yearly")
    for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.MISSED, RunState.CANCELLED):
        ended(task, state)
    key, before = task.pk, row_versions()
    with CaptureQueriesContext(connection) as caught:
        delete(task)
    sent = [query["sql"] for query in caught]
    assert [sql for sql in sent if "UPDATE" in sql.split()[0] and "sisy_run" in sql] == []
    assert not Task.objects.exists()
    assert row_versions() == before
    assert Run.objects.filter(task=key).count() == 4


def test_deleting_a_task_takes_as_many_statements_for_many_runs_as_for_none():
    few, many = scheduled("@yearly"), scheduled("@yearly")
    for _ in range(30):
        ended(many)
    with CaptureQueriesContext(connection) as one:
        few.delete()
    with CaptureQueriesContext(connection) as two:
        many.delete()
    assert len(two) == len(one)


def test_tasks_that_are_chosen_by_their_queued_runs_are_deleted():
    """The filter no longer matches once the runs are cancelled."""
    task = scheduled("@yearly")
    run = task.run_now()
    Task.objects.filter(runs__state=RunState.QUEUED).delete()
    assert not Task.objects.exists()
    assert stored(run).reason == "The task was deleted."


def test_keys_of_tasks_are_never_used_again():
    keys = []
    for _ in range(3):
        task = scheduled("@yearly")
        keys.append(task.pk)
        task.delete()
    assert len(set(keys)) == 3


def test_a_migration_that_deletes_a_task_keeps_the_key_in_its_runs():
    task = scheduled("@yearly")
    Task.objects.filter(pk=task.pk).update(name="nightly")
    run, queued = ended(task), task.run_now()
    apps = MigrationLoader(connection).project_state().apps
    models = apps.get_model("sisy", "Task"), apps.get_model("sisy", "Run")
    DeleteTask("nightly").forwards(MigratedTask("nightly", "default", *models))
    assert not Task.objects.exists()
    assert {stored(run).task_id, stored(queued).task_id} == {task.pk}
    assert (stored(run).state, stored(queued).state) == (RunState.SUCCEEDED, RunState.CANCELLED)


def test_no_run_is_stored_without_the_key_of_a_task(orphan):
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.update(task=None)
    orphan.task = None
    with pytest.raises(IntegrityError), transaction.atomic():
        orphan.save()


def test_the_history_of_a_deleted_task_is_found_by_its_key():
    task = scheduled("@yearly")
    first, second, _ = ended(task), ended(task), ended(scheduled("@yearly"))
    key = task.pk
    task.delete()
    assert list(Run.objects.filter(task=key).order_by("pk")) == [first, second]
    assert (related(stored(first)).after, related(stored(second)).before) == (second, first)


def test_runs_with_and_without_a_task_are_told_apart(orphan):
    kept = ended(scheduled("@yearly"))
    assert list(Run.objects.with_task()) == [kept]
    assert list(Run.objects.without_task()) == [orphan]


def test_retrying_a_run_of_a_deleted_task_creates_a_copy_of_the_task(orphan):
    again = orphan.retry()
    copy = Task.objects.get()
    assert again.task == copy
    assert copy.pk != orphan.task_id
    assert (copy.label, copy.schedule, again.payload, again.retry_of) == (
        "report",
        "",
        {"n": 2},
        orphan,
    )
    [won] = claim(worker(), ["default"], 1, NOON)
    assert won == again


def test_a_run_of_a_deleted_task_whose_callable_is_gone_is_not_retried(orphan):
    Run.objects.update(target_path="tests.app.jobs.gone")
    with pytest.raises(CallableError):
        stored(orphan).retry()


def test_a_run_submitted_for_a_deleted_task_is_cancelled():
    task = scheduled("@yearly")
    copy = stored(task)
    task.delete()
    run = copy.run_now()
    assert "its task was deleted, and a worker will cancel it shortly" in why_run(
        stored(run), NOON.tzinfo, NOON
    )
    assert claim(worker(), ["default"], 1, NOON) == []
    assert (stored(run).state, stored(run).reason) == (RunState.CANCELLED, "The task was deleted.")
    assert stored(run).task_id == copy.pk


def test_runs_that_are_claimed_keep_the_key_of_a_deleted_task(django_assert_max_num_queries):
    for _ in range(5):
        scheduled("@yearly").run_now()
    models.QuerySet.delete(Task.objects.all())
    keys = set(Run.objects.values_list("task", flat=True))
    assert None not in keys
    with django_assert_max_num_queries(30):
        assert claim(worker(), ["default"], 9, NOON) == []
    assert set(Run.objects.values_list("task", "state")) == {(key, "cancelled") for key in keys}


def test_a_run_of_a_deleted_task_fails_for_good():
    task = scheduled("@yearly", max_attempts=5)
    run = task.run_now()
    [won] = claim(worker(), ["default"], 1, NOON)
    bare(task)
    finish(won, NOON, state=RunState.FAILED, reason="no")
    assert (stored(run).state, stored(run).task_id) == (RunState.FAILED, run.task_id)


@pytest.mark.parametrize("deleted", [True, False])
def test_only_delays_of_retries_whose_task_exists_are_shortened(deleted):
    task = scheduled("@yearly", retry_max_delay=MINUTE)
    run = task.new_run(now=NOON, ready_at=NOON + DAY, attempt=1)
    run.save()
    if deleted:
        bare(task)
    assert _shorten_retries("default", NOON) == (0 if deleted else 1)


def test_runs_of_deleted_tasks_are_pruned(settings):
    settings.SISY_HISTORY_DAYS = 30
    gone, task = scheduled("@yearly"), scheduled("@yearly")
    for _ in range(3):
        ended(gone)
        ended(task)
    gone.delete()
    assert retention.prune_history("default", NOON + 31 * DAY) == 6
    assert not Run.objects.exists()
    assert stored(task).pruned == {"succeeded": 3}


def test_usual_durations_are_those_of_runs_whose_task_exists(orphan):
    task = scheduled("@yearly")
    ended(task, finished_at=NOON + SECOND)
    assert usual_by("default", "task_id") == {task.pk: SECOND}
    assert usual_by("default", "task__schedule", "task__timezone") == {("@yearly", "UTC"): SECOND}


def test_failures_of_deleted_tasks_are_grouped_by_their_function():
    for label in ("a", "b"):
        task = scheduled("@yearly", label=label)
        ended(task, RunState.FAILED)
        task.delete()
    kept = scheduled("@yearly", label="c")
    ended(kept, RunState.FAILED)
    groups, _ = failing("default", NOON)
    path = f"{jobs.noop.__module__}.noop"
    assert {(group.key, group.number, group.of) for group in groups} == {
        ((kept.pk, ""), 1, 1),
        ((None, path), 2, 2),
    }


def test_a_task_that_ends_leaves_its_key_in_its_runs():
    task = scheduled("* * * * *", iterations=1)
    tick("default", NOON + MINUTE)
    [won] = claim(worker(), ["default"], 1, NOON + MINUTE)
    finish(won, NOON + MINUTE)
    assert not Task.objects.exists()
    assert Run.objects.filter(task=task.pk).values_list("state", flat=True).get() == "succeeded"


def test_an_orphaned_method_keeps_its_key_as_well():
    counter = Counter.objects.create()
    task = scheduled("@yearly", fn=counter.tick)
    run = ended(task)
    key = bare(task)
    assert (stored(run).task_id, stored(run).target_pk) == (key, str(counter.pk))
