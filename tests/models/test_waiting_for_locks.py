"""A change that takes its time: what falls due meanwhile is not lost."""

import pytest

from sisy import clock
from sisy.models import Run, RunState, Task
from sisy.store import locking
from sisy.syncing.migrations import MigratedTask
from tests.support.clocks import SettableClock
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
def test_occurrences_due_during_a_wait_for_the_lock_are_recorded(change, state, slow_lock):
    task = scheduled("*/2 * * * *")
    slow_lock()
    change(task)
    assert list(Run.objects.values_list("due_at", "state")) == [(NOON + 2 * MINUTE, state)]


class HurryingClock(SettableClock):
    """A clock that is two minutes later each time it is read."""

    def now(self, using):
        self.moment += 2 * MINUTE
        return self.moment


def test_a_migration_plans_a_task_from_the_moment_it_settled_it(now):
    task = scheduled("*/2 * * * *")
    Task.objects.filter(pk=task.pk).update(name="greetings")
    with clock.use(HurryingClock(NOON)):
        MigratedTask("greetings", "default", Task, Run).alter({"schedule": "* * * * *"})
    task.refresh_from_db()
    assert task.planning_since == task.planned_until == NOON + 2 * MINUTE
