"""A pause with an end is over at its moment: for tasks and for queues."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from sisy.heartbeat import Heartbeat
from sisy.heartbeat.pauses import Pauses
from sisy.heartbeat.tick import tick
from sisy.messaging import heartbeat_bell
from sisy.models import Queue, Run, RunState, Task, TaskState, task_with_callable
from sisy.planning.timing import occurrences
from tests.app import jobs
from tests.roles.test_unreadable import needs_spoilable, spoil
from tests.support.moments import HOUR, MINUTE, NOON, SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

END = NOON + 2 * HOUR


@pytest.fixture
def paused():
    task = task_with_callable(jobs.noop, schedule="0 * * * *", label="hourly")
    task.save()
    assert task.pause("New tariff", until=END)
    return task


def passed(now):
    """Make one pass of a heartbeat's work on pauses, and one tick."""
    pauses = Pauses("default")
    pauses.end(now)
    tick("default", now)
    return pauses


def test_a_heartbeat_resumes_a_task_when_its_pause_ends(paused):
    passed(END)
    task = Task.objects.get()
    assert (task.state, task.state_reason, task.paused_until) == (TaskState.ACTIVE, "", None)


def test_an_occurrence_at_the_end_of_a_pause_runs(paused):
    passed(END)
    assert [run.due_at for run in Run.objects.filter(state=RunState.QUEUED)] == [END]


def test_occurrences_within_a_pause_never_run(paused):
    passed(END + 30 * MINUTE)
    assert not Run.objects.filter(due_at__lt=END).exclude(state=RunState.MISSED).exists()
    assert Run.objects.filter(due_at__lt=END).count() == 0


def test_a_first_run_that_does_not_wait_is_due_at_the_end_of_a_pause():
    task = task_with_callable(jobs.noop, schedule="0 0 1 1 *", wait_for_schedule=False)
    task.save()
    task.pause(until=END)
    passed(END)
    assert Run.objects.get().due_at == END


def test_an_occurrence_after_the_pause_counts_though_no_heartbeat_ran(paused):
    passed(END + HOUR + SECOND)
    assert END + HOUR in [run.due_at for run in Run.objects.filter(state=RunState.QUEUED)]


def test_a_pause_lasts_until_the_moment_and_no_shorter(paused):
    pauses = passed(END - SECOND)
    assert Task.objects.get().state == TaskState.PAUSED
    assert pauses.next_at == END


def test_a_pause_without_an_end_lasts(paused):
    Task.objects.update(paused_until=None)
    assert passed(END + 100 * HOUR).next_at is None
    assert Task.objects.get().state == TaskState.PAUSED


def test_resuming_a_task_forgets_the_end_of_its_pause(paused):
    assert paused.resume()
    paused.refresh_from_db()
    assert (paused.state, paused.paused_until) == (TaskState.ACTIVE, None)


def test_the_next_run_of_a_paused_task_is_after_its_pause(paused):
    paused.refresh_from_db()
    assert next(occurrences(paused, NOON)) == END


@pytest.mark.parametrize("kind", ["task", "queue"])
def test_a_pause_cannot_end_in_the_past(kind):
    task = task_with_callable(jobs.noop, schedule="0 * * * *", label="hourly")
    task.save()
    ends = NOON - SECOND
    with pytest.raises(ValueError, match="leave it out to pause until you resume it"):
        task.pause(until=ends) if kind == "task" else Queue.objects.pause("default", until=ends)
    naive = timezone.make_naive(END)
    with pytest.raises(ValueError, match="until must be an aware datetime"):
        task.pause(until=naive) if kind == "task" else Queue.objects.pause("default", until=naive)
    assert Task.objects.get().state == TaskState.ACTIVE
    assert not Queue.objects.paused().exists()


def test_a_heartbeat_resumes_a_queue_when_its_pause_ends():
    Queue.objects.pause("default", "Migration", "ann", until=END)
    assert passed(END - SECOND).next_at == END
    assert Queue.objects.paused().exists()
    passed(END)
    queue = Queue.objects.get()
    assert (queue.paused_at, queue.paused_until, queue.pause_reason) == (None, None, "")


def test_the_first_of_many_pauses_ends_first(paused):
    Queue.objects.pause("default", until=NOON + HOUR)
    assert passed(NOON).next_at == NOON + HOUR
    assert passed(NOON + HOUR).next_at == END


@needs_spoilable
def test_a_pause_whose_end_cannot_be_read_lasts_and_stops_no_other(paused):
    other = task_with_callable(jobs.noop, schedule="0 * * * *", label="other")
    other.save()
    other.pause(until=END)
    spoil(paused, "paused_until")
    passed(END)
    assert dict(Task.objects.values_list("label", "state")) == {
        "hourly": TaskState.PAUSED,
        "other": TaskState.ACTIVE,
    }


def test_many_pauses_end_in_a_few_passes():
    ends = [END + timedelta(seconds=n % 3) for n in range(1200)]
    Task.objects.bulk_create(
        task_with_callable(jobs.noop, schedule="0 0 1 1 *", label=f"task {n}") for n in range(1200)
    )
    for n, task in enumerate(Task.objects.order_by("pk")):
        Task._base_manager.filter(pk=task.pk).update(
            state=TaskState.PAUSED, paused_until=ends[n], next_run=None
        )
    for _ in range(3):
        last: datetime | None = passed(END + MINUTE).next_at
    assert last is None
    assert Task.objects.filter(state=TaskState.PAUSED).count() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["task", "queue"])
def test_a_pause_with_an_end_rings_the_heartbeats(kind):
    task = task_with_callable(jobs.noop, schedule="0 * * * *", label="hourly")
    task.save()
    heard = []
    with heartbeat_bell.listening(lambda: heard.append("ring")):
        task.pause(until=END) if kind == "task" else Queue.objects.pause("default", until=END)
    assert heard


@pytest.mark.parametrize("seconds", [1, 10])
def test_a_pause_that_no_ring_announces_ends_before_anything_is_missed(clocks, seconds):
    task = task_with_callable(jobs.noop, schedule="* * * * * *", label="each second")
    task.save()
    heartbeat = Heartbeat()
    heartbeat._pass()
    task.pause(until=clocks.moment + seconds * SECOND)
    while clocks.moment < NOON + (seconds + 5) * SECOND:
        clocks.go_on(timedelta(seconds=heartbeat._pass().wait))
    assert Task.objects.get().state == TaskState.ACTIVE
    assert not Run.objects.filter(state=RunState.MISSED).exists()
