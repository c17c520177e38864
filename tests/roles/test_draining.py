"""A worker that somebody asks to end once its runs have."""

import pytest

from sisy.models import Process, Role, Run, RunState, Task
from tests.app import jobs
from tests.app.models import Execution
from tests.roles.at_work import at_work
from tests.support.moments import HOUR, NOON
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_draining_worker_finishes_its_runs_and_stops():
    with at_work(grace=60) as worker:
        going = Task.run_once(jobs.sleeps, userdata={"seconds": 1})
        wait_until(Execution.objects.exists)
        process = Process.objects.get()
        assert process.request_drain(NOON)
        wait_until(lambda: worker.is_stopping)
        Task.run_once(jobs.noop)
        wait_until(lambda: not Process.objects.exists())
    runs = Run.objects.order_by("pk").values_list("state", "attempt")
    assert list(runs) == [(RunState.SUCCEEDED, 1), (RunState.QUEUED, 0)]
    assert not Task.objects.filter(pk=going.pk).exists()


def test_a_draining_worker_waits_longer_than_a_stopped_one():
    with at_work(grace=0.1) as worker:
        Task.run_once(jobs.sleeps, userdata={"seconds": 2})
        wait_until(Execution.objects.exists)
        assert Process.objects.get().request_drain(NOON)
        wait_until(lambda: worker.is_stopping)
        wait_until(lambda: not Process.objects.exists())
    assert Run.objects.get().state == RunState.SUCCEEDED


def test_a_draining_worker_that_is_stopped_releases_what_it_runs():
    with at_work(grace=0.1) as worker:
        Task.run_once(jobs.goes_on_until_asked)
        wait_until(Execution.objects.exists)
        assert Process.objects.get().request_drain(NOON)
        wait_until(lambda: worker.is_stopping)
        worker.stop()
        wait_until(lambda: not Process.objects.exists())
    assert Run.objects.get().state == RunState.QUEUED


def test_without_a_message_a_worker_finds_the_drain_request(settings):
    settings.SISY_LEASE_SECONDS = 5
    with at_work():
        wait_until(Process.objects.exists)
        Process.objects.update(drain_requested_at=NOON)
        wait_until(lambda: not Process.objects.exists())


def test_a_renewal_of_the_lease_says_whether_to_drain(django_assert_num_queries):
    process = Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR)
    with django_assert_num_queries(1):
        assert process.renew(NOON, HOUR)
    assert process.drain_requested_at is None
    Process.objects.get().request_drain(NOON)
    assert process.renew(NOON, HOUR)
    assert process.drain_requested_at == NOON
    process.leave()
    assert not process.renew(NOON, HOUR)


def test_other_workers_continue():
    with at_work(), at_work() as other:
        wait_until(lambda: Process.objects.count() == 2)
        first, second = Process.objects.order_by("pk")
        second.request_drain(NOON)
        wait_until(lambda: Process.objects.count() == 1)
        assert Process.objects.get() == first
        del other
        Task.run_once(jobs.noop)
        wait_until(lambda: Run.objects.filter(state=RunState.SUCCEEDED).exists())


def test_a_worker_is_asked_to_drain_only_once():
    process = Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR)
    assert process.request_drain(NOON)
    assert not process.request_drain(NOON + HOUR)
    process.refresh_from_db()
    assert process.drain_requested_at == NOON
    gone = Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR)
    gone.leave()
    assert not gone.request_drain(NOON)
