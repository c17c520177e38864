"""However Django saves a task, and whatever becomes of the transaction, it ends as meant."""

import copy
import pickle
import random
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import F

from sisy.heartbeat import tick
from sisy.models import Run, Task
from sisy.records.task_fields import OWNER_FIELDS, SCHEDULER_FIELDS
from tests.app import jobs
from tests.app.models import Folder
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ALL = [field.name for field in Task._meta.concrete_fields if not field.primary_key]


def columns(task, names):
    return {name: getattr(stored(task), name) for name in names}


def test_update_or_create_works_on_tasks():
    given = {"target_path": "tests.app.jobs.noop", "queue": "mail"}
    for queue in ("mail", "slow", "slow"):
        task, _ = Task.objects.update_or_create(label="a", defaults={**given, "queue": queue})
        assert (stored(task).queue, Task.objects.count()) == (queue, 1)
    before = columns(task, SCHEDULER_FIELDS)
    Task.objects.update_or_create(label="a", defaults={"userdata": {"n": 1}})
    Task.objects.update_or_create(label="a")
    assert columns(task, SCHEDULER_FIELDS) == before
    assert stored(task).userdata == {"n": 1}


def test_a_related_manager_can_update_and_create_tasks():
    folder = Folder.objects.create()
    given = {"target_path": "tests.app.jobs.noop"}
    for queue in ("mail", "slow"):
        task, _ = folder.tasks.update_or_create(label="a", defaults={**given, "queue": queue})
        assert list(folder.tasks.values_list("queue")) == [(queue,)]
    Run.objects.update_or_create(task=task, due_at=None, defaults={"ready_at": NOON}, **RUN)
    run, _ = task.runs.update_or_create(label="a", defaults={"priority": 5})
    assert (run.priority, run.ready_at) == (5, NOON)


RUN = {"create_defaults": {"label": "a", "ready_at": NOON, "planned_at": NOON}}


def test_a_task_is_updated_or_created_by_async_code():
    given = {"target_path": "tests.app.jobs.noop"}

    async def update():
        for queue in ("mail", "slow"):
            await Task.objects.aupdate_or_create(label="a", defaults={**given, "queue": queue})
        task = await Task.objects.aget()
        task.priority = 5
        await task.asave(update_fields=["priority"])
        await task.arefresh_from_db()
        return task.queue, task.priority

    assert async_to_sync(update)() == ("slow", 5)


@pytest.mark.parametrize("names", [ALL, sorted(OWNER_FIELDS), ["start_running", "end_running"]])
def test_naming_every_column_replans_nothing(at_time, names):
    """Libraries do, that save what a form or an importer has not changed."""
    task = scheduled(schedule="0 * * * *")
    at_time(NOON + 90 * MINUTE)
    before = columns(task, ALL)
    task.save(update_fields=names)
    assert columns(task, ALL) == before
    tick("default", NOON + 90 * MINUTE)
    assert not Run.objects.filter(state="missed", reason__contains="timing was changed").exists()


def test_overwriting_a_new_schedule_with_an_old_one_replans():
    task = scheduled(schedule="0 18 * * *")
    Task.objects.filter(pk=task.pk).update(schedule="0 20 * * *")
    tick("default", NOON)
    task.save(update_fields=ALL)
    assert stored(task).next_run == NOON + timedelta(hours=6)


def test_a_missing_target_does_not_matter_if_every_column_is_named():
    task = scheduled()
    Task.objects.update(target_path="tests.app.jobs.gone", target_error="It is gone.")
    task = stored(task)
    task.queue = "slow"
    task.save(update_fields=ALL)
    assert columns(task, ["queue", "target_error"]) == {
        "queue": "slow",
        "target_error": "It is gone.",
    }


@pytest.mark.parametrize("within", [False, True])
def test_a_second_save_keeps_changes_that_others_made_after_the_first(within):
    task = scheduled() if not within else None
    with transaction.atomic():
        task = task or scheduled()
        task.queue = "slow"
        task.save()
        Task.objects.filter(pk=task.pk).update(queue="fast", priority=F("priority") + 1)
        task.label = "new"
        task.save()
    assert columns(task, ["queue", "priority", "label"]) == {
        "queue": "fast",
        "priority": 1,
        "label": "new",
    }


def test_values_stored_in_bulk_are_not_written_again():
    tasks = [scheduled(label="a"), scheduled(label="b")]
    for task in tasks:
        task.queue = "slow"
    Task.objects.bulk_update(tasks, ["queue"])
    Task.objects.update(queue="fast")
    for task in tasks:
        task.save()
    assert set(Task.objects.values_list("queue", flat=True)) == {"fast"}


def test_a_savepoint_rollback_reverts_only_its_own_writes():
    task = scheduled()
    task.priority = 1
    task.save()
    with transaction.atomic():
        task.queue = "slow"
        task.save()
        transaction.set_rollback(True)
    Task.objects.update(priority=2)
    assert task.changed_columns() == {"queue"}
    task.save()
    assert columns(task, ["queue", "priority"]) == {"queue": "slow", "priority": 2}


def test_values_refreshed_before_a_rollback_are_written_again():
    task = scheduled()
    with transaction.atomic():
        task.queue = "slow"
        task.save()
        task.refresh_from_db()
        transaction.set_rollback(True)
    task.save()
    assert stored(task).queue == "slow"


def test_a_task_whose_insert_was_rolled_back_is_inserted_again():
    with transaction.atomic():
        task, once = scheduled(label="a"), Task.run_once(jobs.noop)
        task.queue = "slow"
        task.save()
        transaction.set_rollback(True)
    other = scheduled(label="b")
    for each in (task, once):
        each.save()
    assert Task.objects.count() == 3
    assert stored(task).queue == "slow"
    assert stored(other).label == "b"


@pytest.mark.django_db(transaction=True)
def test_a_hook_that_runs_before_ours_does_not_insert_twice():
    tasks = []

    def hook():
        tasks[0].queue = "slow"
        tasks[0].save()

    with transaction.atomic():
        transaction.on_commit(hook)
        tasks.append(scheduled())
    assert Task.objects.get().queue == "slow"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, Task.twin])
def test_a_copy_of_a_task_knows_the_stored_values(copied):
    task = scheduled()
    with transaction.atomic():
        task.queue = "slow"
        task.save()
        other = copied(task)
        assert other.changed_columns() == frozenset()
        transaction.set_rollback(True)
    other.save()
    assert stored(task).queue == "slow"


def test_a_pickled_task_does_not_assume_unknown_values_are_stored():
    task = pickle.loads(pickle.dumps(scheduled()))
    task.queue = "slow"
    task.save()
    assert Task.objects.get().queue == "slow"


@pytest.mark.django_db(transaction=True)
def test_after_a_commit_all_values_count_as_stored():
    with transaction.atomic():
        task = scheduled()
        task.queue = "slow"
        task.save()
    assert pickle.loads(pickle.dumps(task)).changed_columns() == frozenset()
    assert task.changed_columns() == frozenset()


class Walk:
    """A person who saves, others who update, and transactions that end in either way.

    Beside the task it keeps what the database is to hold, and what the person believes it holds.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.task = scheduled()
        self.stored = {"queue": "default", "priority": 0}
        self.believed = dict(self.stored)
        self.own = dict(self.stored)

    def change(self):
        """Change a column of the task, and return its name."""
        name = self.random.choice(["queue", "priority"])
        self.own[name] = self.another(name)
        setattr(self.task, name, self.own[name])
        return name

    def another(self, name):
        number = self.random.randrange(3)
        return number if name == "priority" else f"q{number}"

    def save(self):
        self.change()
        self.task.save()
        self.wrote(name for name in self.own if self.own[name] != self.believed[name])

    def save_named(self):
        name = self.change()
        self.task.save(update_fields=[name])
        self.wrote([name])

    def wrote(self, names):
        for name in list(names):
            self.stored[name] = self.believed[name] = self.own[name]

    def update(self):
        name = self.random.choice(["queue", "priority"])
        self.stored[name] = self.another(name)
        Task.objects.filter(pk=self.task.pk).update(**{name: self.stored[name]})

    def block(self, depth):
        before = dict(self.stored), dict(self.believed)
        with transaction.atomic():
            for _ in range(self.random.randrange(1, 6)):
                steps = [self.save, self.save_named, self.update, self.update]
                nested = [self.block] * 3 if depth < 3 else []
                step = self.random.choice(steps + nested)
                step(depth + 1) if step == self.block else step()
                assert columns(self.task, self.stored) == self.stored
            if self.random.random() < 0.5:
                transaction.set_rollback(True)
                self.stored, self.believed = before
        assert columns(self.task, self.stored) == self.stored


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(8))
def test_mixed_saves_updates_and_rollbacks_keep_the_last_intent(seed):
    walk = Walk(seed)
    for _ in range(10):
        walk.block(0)
