"""What falls due between an edit and the first withdrawn run is neither lost nor planned twice."""

import pytest

from sisy.heartbeat import tick
from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.models import Run, Task
from tests.support.clocks import clock_at
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

DUE = NOON + MINUTE
EDITED = DUE - 1.5 * SECOND
PLANNED = EDITED - SECOND / 4
A_SECOND_BEFORE = "* * * * * 59"


def by_save(task):
    task.schedule = A_SECOND_BEFORE
    task.save()


def by_update(task):
    Task.objects.update(schedule=A_SECOND_BEFORE)


def by_pause(task):
    task.pause()
    task.schedule = A_SECOND_BEFORE
    task.save()
    task.resume()


@pytest.mark.parametrize("has_history", [True, False])
@pytest.mark.parametrize("edit", [by_save, by_update, by_pause])
def test_a_new_schedule_may_be_due_before_what_was_withdrawn(edit, has_history):
    with clock_at(NOON - MINUTE):
        scheduled()
    if has_history:
        assert tick("default", NOON).planned == 1
    else:
        Task.objects.update(next_run=DUE)
    assert plan_ahead("default", PLANNED) == 1
    with clock_at(EDITED):
        edit(Task.objects.get())
    tick("default", DUE - SECOND / 2)
    assert Run.objects.order_by("-due_at").values_list("due_at", flat=True)[0] == DUE - SECOND
