"""Many tasks made at once: checked, planned and active, as if each had been saved."""

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.exceptions import CallableError, ScheduleError
from sisy.heartbeat import tick, timing_check
from sisy.models import Run, Task, TaskState, task_with_callable
from tests.app import jobs
from tests.support.moments import HOUR, MINUTE, NOON, SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

SCHEDULER = (
    "state",
    "next_run",
    "planned_until",
    "planning_since",
    "timing_fingerprint",
    "created_at",
)


def unsaved(schedule="* * * * *", **fields):
    return task_with_callable(jobs.noop, schedule=schedule, timezone="UTC", **fields)


KINDS = {
    "plain": {},
    "hashed": {"schedule": "h * * * *", "label": "some label"},
    "window": {"start_running": NOON + HOUR, "end_running": NOON + 9 * HOUR},
    "at once": {"schedule": "0 0 1 1 *", "wait_for_schedule": False},
    "iterations": {"iterations": 3},
}


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_a_task_that_is_made_with_many_is_as_if_it_had_been_saved(fields):
    saved = unsaved(**fields)
    saved.save()
    [made, _] = Task.objects.bulk_create([unsaved(**fields), unsaved("0 0 * * *")])
    if connection.features.can_return_rows_from_bulk_insert:
        assert made.next_run == saved.next_run
    tick("default", NOON)
    tick("default", NOON + SECOND)
    kept = {name: Task.objects.values_list(name, flat=True) for name in SCHEDULER}
    of_saved = {name: values.get(pk=saved.pk) for name, values in kept.items()}
    same = Task.objects.exclude(pk=saved.pk).filter(schedule=saved.schedule)
    if fields.get("schedule") != "0 0 * * *":
        assert {name: values.get(pk=same.get().pk) for name, values in kept.items()} == of_saved
    assert timing_check.audit("default", NOON, 0, 2**62) == 0


def test_all_are_active_at_once():
    Task.objects.bulk_create(unsaved() for _ in range(20))
    tick("default", NOON + MINUTE)
    tick("default", NOON + MINUTE)
    assert Run.objects.filter(due_at=NOON + MINUTE).count() == 20


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"schedule": "61 * * * *"}, ScheduleError, "minute: 61"),
        ({"priority": 1000}, ValueError, "priority must be"),
        ({"end_running": NOON}, ValueError, "has no future occurrence"),
        ({"target_path": "tests.app.jobs.nowhere"}, CallableError, "does not exist"),
    ],
)
def test_an_invalid_task_prevents_the_bulk_creation_and_is_named(fields, error, says):
    wrong = unsaved(label="wrong")
    for name, value in fields.items():
        setattr(wrong, name, value)
    with pytest.raises(error, match=rf"^objs\[1\], 'wrong': .*{says}"):
        Task.objects.bulk_create([unsaved(), wrong, unsaved()])
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"ignore_conflicts": True},
        {"update_conflicts": True, "unique_fields": ["id"], "update_fields": ["label"]},
    ],
)
def test_options_that_would_overwrite_tasks_are_rejected(options):
    with pytest.raises(ValueError, match=r"only inserts.* with save\(\) or update\(\)"):
        Task.objects.bulk_create([unsaved()], **options)


def test_a_copied_task_starts_without_scheduler_state():
    original = unsaved()
    original.save()
    tick("default", NOON + MINUTE)
    copy = Task.objects.get()
    copy.pk, copy._state.adding = None, True
    Task.objects.bulk_create([copy])
    made = Task.objects.latest("pk")
    assert (made.planned_until, made.last_run, made.runs_planned) == (None, None, 0)


def test_a_task_may_be_made_with_a_key_and_paused():
    paused = unsaved()
    paused.state = TaskState.PAUSED
    with_key = unsaved()
    with_key.pk = 4711
    Task.objects.bulk_create([paused, with_key])
    tick("default", NOON + SECOND)
    tick("default", NOON + MINUTE)
    assert [run.task_id for run in Run.objects.all()] == [4711]


def test_a_task_that_was_made_with_others_is_saved_like_any_other():
    tasks = Task.objects.bulk_create([unsaved(), unsaved()])
    if not connection.features.can_return_rows_from_bulk_insert:
        tasks = list(Task.objects.all())
    tasks[0].userdata["n"] = 1
    tasks[0].save()
    assert Task.objects.get(pk=tasks[0].pk).userdata == {"n": 1}


def test_many_can_be_made_in_async_code():
    async def make():
        await Task.objects.abulk_create([unsaved(), unsaved()])

    async_to_sync(make)()
    assert Task.objects.filter(state=TaskState.ACTIVE).count() == 2


def test_many_take_few_statements():
    with CaptureQueriesContext(connection) as queries:
        Task.objects.bulk_create((unsaved() for _ in range(1000)), batch_size=500)
    most = 6 if connection.vendor == "postgresql" else 120
    assert len(queries) <= most


def test_an_empty_list_creates_no_task():
    assert Task.objects.bulk_create([]) == []
