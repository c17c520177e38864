"""Several deploys that look at the code at the same moment."""

from functools import partial

import pytest

from sisy.models import Task, TaskState
from sisy.planning.declarations import Declaration
from sisy.syncing import Discovered, Kind, sync
from tests.concurrency.threads import all_of, at_once
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def declared(schedule, names):
    return Discovered(
        declarations=[
            Declaration(
                name=name,
                path="tests.app.jobs.noop",
                module="tests.app.jobs",
                fields={"schedule": schedule, "label": name, "timezone": "UTC"},
            )
            for name in names
        ]
    )


def test_concurrent_deploys_create_each_task_once_and_none_fails():
    names = [f"task {n}" for n in range(5)]
    look = partial(sync, "default", declared("0 4 * * *", names), NOON)
    changes = all_of(synced.changes for synced in at_once(*[look] * 4))
    assert sorted(Task.objects.values_list("name", flat=True)) == names
    assert sum(change.kind == Kind.CREATED for change in changes) == 5
    assert sum(change.kind == Kind.UNCHANGED for change in changes) == 15
    assert set(Task.objects.values_list("state", flat=True)) == {TaskState.ACTIVE}


def test_concurrent_deploys_leave_each_task_as_one_version_declares():
    names = [f"task {n}" for n in range(5)]
    old, new = declared("0 4 * * *", names), declared("0 5 * * *", names)
    sync("default", old, NOON)
    at_once(*[partial(sync, "default", found, NOON) for found in (old, new, old, new)])
    for task in Task.objects.all():
        assert task.schedule in ("0 4 * * *", "0 5 * * *")
        assert task.declaration["schedule"] == task.schedule
        assert task.overrides() == []
