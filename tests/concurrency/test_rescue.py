"""Heartbeats that find a worker's lease expired, at once with each other and with the worker."""

from functools import partial

import pytest

from sisy.exceptions import LeaseLost
from sisy.heartbeat import tick
from sisy.heartbeat.rescue import rescue_lost
from sisy.models import OnLost, Process, Run, RunState
from sisy.worker.claim import claim
from tests.concurrency.threads import (
    BEFORE_IT_LOCKS,
    BEFORE_IT_WRITES_RUNS,
    all_of,
    at_once,
    finish,
    in_the_middle,
)
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

LEASE = 30 * SECOND
DUE = NOON + MINUTE
EXPIRED = DUE + LEASE + SECOND
QUEUES = ["default"]


def held_runs(holder, count, **fields):
    """Return runs that the holder carries out, until it is not heard of any more."""
    for _ in range(count):
        scheduled("0 * * * *", **fields).run_now()
    return claim(holder, QUEUES, count, DUE)


def rescuing():
    return partial(rescue_lost, "default", EXPIRED)


def test_a_dead_worker_without_runs_is_only_reported_gone(caplog):
    idle = worker(NOON, LEASE)
    rescue_lost("default", EXPIRED)
    assert f"{idle} is gone; it had no runs to rescue" in caplog.messages
    assert "Rescued the runs" not in caplog.text


def on_the_books(holder):
    return Process.objects.filter(pk=holder.pk).exists()


def columns(runs):
    kept = Run.objects.filter(pk__in=[run.pk for run in runs])
    return set(kept.values_list("state", "attempt", "times_lost", "process"))


def test_four_heartbeats_take_each_run_of_dead_workers_from_them_once():
    dead = [worker(DUE, LEASE) for _ in range(4)]
    runs = [run for holder in dead for run in held_runs(holder, 5)]
    given_up = held_runs(dead[0], 5, on_lost=OnLost.FAIL)
    rescued = all_of(at_once(*[rescuing()] * 4))
    assert sorted(run.pk for run in rescued) == sorted(run.pk for run in runs)
    assert columns(runs) == {(RunState.QUEUED, 1, 1, None)}
    assert {column[:3] for column in columns(given_up)} == {(RunState.LOST, 1, 1)}
    assert not Process.objects.exists()


def test_two_heartbeats_that_found_the_same_worker_expired_rescue_its_runs_once():
    runs = held_runs(worker(DUE, LEASE), 3)
    first, second = in_the_middle(rescuing(), rescuing(), BEFORE_IT_WRITES_RUNS)
    assert {run.pk for run in first} == {run.pk for run in runs}
    assert second == []
    assert columns(runs) == {(RunState.QUEUED, 1, 1, None)}


def test_a_worker_that_renews_late_keeps_its_runs_or_learns_they_are_lost():
    for _ in range(15):
        holder = worker(DUE, LEASE)
        runs = held_runs(holder, 2)
        renewed, *rescued = at_once(partial(holder.renew, EXPIRED, LEASE), rescuing(), rescuing())
        assert any(rescued) != renewed == on_the_books(holder)
        expected = (RunState.RUNNING, 1, 0, holder.pk) if renewed else ("queued", 1, 1, None)
        assert columns(runs) == {expected}
        Run.objects.all().delete()


def test_a_lease_renewed_after_it_was_found_expired_is_valid():
    holder = worker(DUE, LEASE)
    runs = held_runs(holder, 2)
    renewing = partial(holder.renew, EXPIRED, LEASE)
    rescued, renewed = in_the_middle(rescuing(), renewing, BEFORE_IT_LOCKS)
    assert (rescued, renewed) == ([], True)
    assert columns(runs) == {(RunState.RUNNING, 1, 0, holder.pk)}


def test_a_claim_during_the_loss_of_the_lease_leaves_no_run_without_an_owner():
    for _ in range(15):
        holder = worker(DUE, LEASE)
        scheduled("0 * * * *").run_now()

        def claim_or_notice(holder=holder):
            try:
                return claim(holder, QUEUES, 1, DUE)
            except LeaseLost:
                return []

        won, *_ = at_once(claim_or_notice, rescuing(), rescuing())
        running = Run.objects.filter(state=RunState.RUNNING, process=holder.pk)
        assert not (running.exists() and not on_the_books(holder))
        rescue_lost("default", EXPIRED)
        assert Run.objects.get().state == RunState.QUEUED
        assert Run.objects.get().times_lost == len(won)
        Run.objects.all().delete()


def test_a_run_claimed_while_its_lease_is_found_expired_is_rescued():
    holder = worker(DUE, LEASE)
    run = scheduled("0 * * * *").run_now()

    def claiming():
        try:
            return claim(holder, QUEUES, 1, DUE)
        except LeaseLost:
            return None

    won, rescued = in_the_middle(claiming, rescuing(), BEFORE_IT_WRITES_RUNS)
    if (
        won is None
    ):  # the lease was taken before it could be locked: the run stays queued for others
        assert columns([run]) == {(RunState.QUEUED, 0, 0, None)}
        assert not on_the_books(holder)
        return
    assert won == [run]
    if not rescued:  # by the next tick then
        assert columns(won) == {(RunState.RUNNING, 1, 0, holder.pk)}
        assert on_the_books(holder)
        rescue_lost("default", EXPIRED)
    assert columns(won) == {(RunState.QUEUED, 1, 1, None)}


def test_an_outcome_during_a_rescue_ends_the_run_or_changes_nothing():
    for _ in range(15):
        runs = held_runs(worker(DUE, LEASE), 3)
        at_once(partial(finish, list(reversed(runs)), EXPIRED), rescuing(), rescuing())
        found = columns(runs)
        assert found <= {(RunState.SUCCEEDED, 1, 0, runs[0].process_id), ("queued", 1, 1, None)}
        Run.objects.all().delete()


def test_an_outcome_in_the_middle_of_a_rescue_changes_nothing():
    runs = held_runs(worker(DUE, LEASE), 3)
    in_the_middle(rescuing(), partial(finish, runs[:1], EXPIRED), BEFORE_IT_WRITES_RUNS)
    again = [Run.objects.get(pk=run.pk) for run in runs]
    assert columns(again) == {(RunState.QUEUED, 1, 1, None)}


def test_a_rescued_run_is_claimed_by_exactly_one_of_many_workers():
    for _ in range(10):
        runs = held_runs(worker(DUE, LEASE), 3)
        claiming = [partial(claim, worker(EXPIRED, LEASE), QUEUES, 2, EXPIRED) for _ in range(2)]
        ticks = [partial(tick, "default", EXPIRED)] * 2
        *_, one, two = at_once(*ticks, *claiming)
        again = one + two + claim(worker(EXPIRED, LEASE), QUEUES, 9, EXPIRED)
        assert sorted(run.pk for run in again) == sorted(run.pk for run in runs)
        assert {run.attempt for run in again} == {2}
        finish(runs, EXPIRED, state=RunState.FAILED)  # the dead one was only slow
        finish(again, EXPIRED)
        assert {run.state for run in Run.objects.all()} == {RunState.SUCCEEDED}
        Run.objects.all().delete()
