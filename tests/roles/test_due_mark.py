"""A heartbeat looks for due tasks from a mark on, but never depends on it."""

import pytest

from sisy.heartbeat import Heartbeat
from sisy.heartbeat.outlook import DueMark
from sisy.models import Run, Task
from sisy.runtime.loop import RENEWAL_INTERVAL
from sisy.store.statements import BEGINNING, MARK_SLACK
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = pytest.mark.django_db

RENEWAL = RENEWAL_INTERVAL * SECOND


@pytest.fixture
def heartbeat(clocks, settings):
    """Return a heartbeat that has made its first passes, which are thorough."""
    settings.SISY_HEARTBEAT_FREQUENCY = 3600
    heartbeat = Heartbeat("default")
    for _ in range(2):
        heartbeat._pass()
    return heartbeat


def scheduled_with_spread():
    """Return a task that is due each minute, and is not planned ahead."""
    return scheduled("* * * * *", spread=SECOND)


def dues():
    return list(Run.objects.order_by("due_at").values_list("due_at", flat=True))


def raise_mark(heartbeat, moment):
    """Set the mark wrongly on purpose: say that no task is due before ``moment``."""
    heartbeat._due_mark._since = moment


def test_a_task_below_a_mark_that_is_far_too_high_is_planned_at_the_renewal(heartbeat, clocks):
    scheduled_with_spread()
    heartbeat._pass()
    clocks.go_on(MINUTE)
    heartbeat._pass()
    assert dues() == [NOON + MINUTE]
    clocks.go_on(MINUTE - SECOND)
    heartbeat._next_due = None
    heartbeat._pass()  # renews the mark
    raise_mark(heartbeat, NOON + DAY)
    clocks.go_on(SECOND)
    heartbeat._next_due = None
    heartbeat._pass()
    assert dues() == [NOON + MINUTE]
    clocks.go_on(RENEWAL)
    heartbeat._pass()
    assert dues() == [NOON + MINUTE, NOON + 2 * MINUTE]


def test_a_task_that_a_long_transaction_makes_due_is_planned_at_the_renewal(heartbeat, clocks):
    task = scheduled("0 0 1 1 *")
    clocks.go_on(MINUTE)
    heartbeat._pass()
    Task.objects.filter(pk=task.pk).update(next_run=NOON - HOUR)
    clocks.go_on(RENEWAL)
    heartbeat._pass()
    assert Task.objects.get(pk=task.pk).next_run > clocks.moment


def test_a_clock_that_is_set_back_delays_no_occurrence_by_more_than_the_renewal(heartbeat, clocks):
    scheduled_with_spread()
    heartbeat._pass()
    clocks.go_on(-HOUR, steady=SECOND)
    moment, planned_at = clocks.moment, {}
    while clocks.moment < moment + 3 * MINUTE:
        heartbeat._pass()
        clocks.go_on(SECOND)
        for due in dues():
            planned_at.setdefault(due, clocks.moment)
    assert list(planned_at) == [moment + MINUTE, moment + 2 * MINUTE]
    assert all(planned - due <= RENEWAL for due, planned in planned_at.items())


def test_the_mark_follows_the_next_due_moment_and_stays_behind_the_clock(clocks):
    mark = DueMark()
    assert mark.next_look() == BEGINNING
    mark.note(NOON + HOUR, NOON)
    assert mark.since == NOON - MARK_SLACK
    mark.note(None, NOON)
    assert mark.since == NOON - MARK_SLACK


def test_a_task_that_is_locked_while_it_is_due_keeps_the_mark(clocks):
    mark = DueMark()
    mark.note(NOON - MINUTE, NOON)
    assert mark.next_look() == NOON - MINUTE


def test_the_mark_is_renewed_every_two_seconds(clocks):
    mark = DueMark()
    looks = []
    for _ in range(9):
        looks.append(mark.next_look() == BEGINNING)
        mark.note(None, clocks.moment)
        clocks.go_on(SECOND / 2)
    assert looks == [True, False, False, False, True, False, False, False, True]
