"""The one lease by which heartbeats, workers and engines are registered."""

from datetime import timedelta

import pytest
from django.db import DatabaseError

from sisy.models import Process, Role, Run
from sisy.models.lease import Lease
from tests.support.moments import HOUR, NOON, SECOND

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LENGTH = timedelta(seconds=30)


@pytest.fixture(params=[Role.HEARTBEAT, Role.WORKER, Role.ENGINE])
def lease(request, clocks):
    slots = 0 if request.param == Role.HEARTBEAT else 4
    return Lease(request.param, "default", queues=("mail",), slots=slots)


def test_a_process_is_registered_once_and_unregistered_at_the_end(lease):
    assert not lease.is_registered
    process = lease.process()
    assert [lease.process().pk, lease.keep().pk, lease.renew().pk] == [process.pk] * 3
    row = Process.objects.get()
    assert (row.pk, row.role, row.lease_until) == (process.pk, process.role, NOON + LENGTH)
    for _ in range(2):
        lease.end()
    assert not Process.objects.exists()
    assert not lease.is_registered


def test_a_lease_is_renewed_when_a_quarter_of_it_is_gone(lease, clocks):
    lease.keep()
    for seconds, renewed_at in ((7, 0), (8, 8), (15, 8), (16, 16)):
        clocks.go_on(NOON + seconds * SECOND - clocks.moment)
        lease.keep()
        assert Process.objects.get().lease_until == NOON + renewed_at * SECOND + LENGTH


def test_a_lease_is_renewed_by_the_new_time_after_a_clock_was_set_back(lease, clocks):
    first = lease.keep()
    clocks.go_on(-3 * HOUR, SECOND)
    assert lease.keep().pk == first.pk
    assert Process.objects.get().lease_until == clocks.moment + LENGTH


@pytest.mark.parametrize("by", ["keep", "renew"])
def test_a_lost_lease_registers_again_under_a_new_key_with_all_columns(lease, clocks, by, caplog):
    first = lease.process()
    lease.note_problem("No memory.")
    Process.objects.all().delete()
    clocks.go_on(10 * SECOND)
    second = getattr(lease, by)()
    row = Process.objects.get()
    assert first.pk != second.pk == row.pk == lease.process().pk
    assert (row.queues, row.slots, row.problem) == (["mail"], first.slots, "No memory.")
    assert (row.problem_since, row.lease_until) == (NOON, clocks.moment + LENGTH)
    others = "" if first.role == Role.HEARTBEAT else "; other workers may rerun its runs"
    assert caplog.messages == [f"{first} lost its lease and is registering again{others}"]


def test_a_problem_is_dated_from_its_start_and_ends(lease, clocks):
    for problem in ("No memory.", "No thread."):
        lease.note_problem(problem)
        clocks.go_on(SECOND)
        row = Process.objects.get()
        assert (row.problem, row.problem_since) == (problem, NOON)
    lease.note_problem("")
    row = Process.objects.get()
    assert (row.problem, row.problem_since) == ("", None)


def test_runs_are_surely_held_until_the_lease_ends_by_the_steady_clock(lease, clocks):
    run = Run(process_id=lease.process().pk)
    clocks.go_on(timedelta(), 29 * SECOND)
    assert lease.surely_holds(run)
    clocks.go_on(timedelta(), SECOND)
    assert not lease.surely_holds(run)
    lease.renew()
    assert lease.surely_holds(run)
    Process.objects.all().delete()
    assert not lease.surely_holds(Run(process_id=lease.renew().pk - 1))


def test_a_process_that_cannot_unregister_leaves_its_lease_to_expire(lease, monkeypatch, caplog):
    def fails(process):
        raise DatabaseError("the disk is full")

    lease.process()
    monkeypatch.setattr(Process, "leave", fails)
    with caplog.at_level("INFO", "sisy"):
        lease.end()
    assert caplog.messages == ["Could not unregister (the disk is full); the lease will expire"]
