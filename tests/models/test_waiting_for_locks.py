"""A change that waits for a lock: what falls due meanwhile is recorded, too."""

import pytest

from sisy.models import Run, RunState, Task
from sisy.store import locking
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled

pytestmark = pytest.mark.django_db


@pytest.fixture
def slow_lock(now, monkeypatch):
    """Let the first lock take two minutes, as if another transaction had the task."""
    lock = locking.lock

    def wait(rows):
        monkeypatch.setattr(locking, "lock", lock)
        now.moment += 2 * MINUTE
        return lock(rows)

    def begin():
        monkeypatch.setattr(locking, "lock", wait)

    return begin


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (Task.pause, RunState.QUEUED),
        (Task.delete, RunState.MISSED),
        (lambda task: Task.objects.filter(pk=task.pk).delete(), RunState.MISSED),
    ],
    ids=["pause", "delete", "delete many"],
)
def test_what_falls_due_while_a_change_waits_for_the_lock_is_in_the_ledger(
    change, state, slow_lock
):
    task = scheduled("*/2 * * * *")
    slow_lock()
    change(task)
    assert list(Run.objects.values_list("due_at", "state")) == [(NOON + 2 * MINUTE, state)]
