"""Whose lease is judged, by whom, and when: after sleep, outages and seen deaths."""

from datetime import timedelta

import pytest

from sisy.exceptions import LeaseLost
from sisy.heartbeat import Heartbeat, tick
from sisy.heartbeat.outlook import look
from sisy.models import Process, Role, Run, RunState
from sisy.models.process import LONGEST_LEASE
from sisy.worker.claim import claim
from tests.roles.steps import LEASE
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clocks")]


@pytest.fixture
def heartbeat():
    return Heartbeat()


@pytest.fixture
def beat(clocks, heartbeat):
    """Return what lets the heartbeat look each second, for so many seconds."""

    def beat(seconds=1):
        for _ in range(seconds):
            heartbeat._pass()
            clocks.go_on(SECOND)

    return beat


def in_hand_of(holder, now, **fields):
    scheduled("0 0 1 1 *", **fields).run_now()
    [run] = claim(holder, ["default"], 1, now)
    return run


def seconds_until_rescued(run, beat):
    for seconds in range(120):
        if stored(run).state != RunState.RUNNING:
            return seconds
        beat()
    raise AssertionError("it was never rescued")


def test_a_watched_worker_is_rescued_when_its_lease_expires(clocks, beat):
    beat(20)
    run = in_hand_of(worker(clocks.moment, LEASE), clocks.moment)
    assert 30 <= seconds_until_rescued(run, beat) <= 32


def test_a_heartbeat_that_has_just_started_rescues_within_45_seconds(clocks, beat):
    run = in_hand_of(worker(clocks.moment, LEASE), clocks.moment)
    assert 30 <= seconds_until_rescued(run, beat) <= 45


def test_a_heartbeat_that_starts_after_a_worker_died_watches_first(clocks, beat):
    run = in_hand_of(worker(clocks.moment, LEASE), clocks.moment)
    clocks.go_on(HOUR)
    assert 10 <= seconds_until_rescued(run, beat) <= 12


@pytest.mark.parametrize(
    ("by", "steady"),
    [
        pytest.param(HOUR, HOUR, id="the host was suspended"),
        pytest.param(3 * HOUR, SECOND, id="the clock was set forward"),
        pytest.param(-3 * HOUR, SECOND, id="the clock was set back"),
    ],
)
def test_a_living_worker_keeps_its_runs_through_a_suspension(clocks, beat, by, steady):
    """All leases look expired at once, and the heartbeat looks first: that made doubles."""
    beat(20)
    holder = worker(clocks.moment, LEASE)
    run = in_hand_of(holder, clocks.moment)
    clocks.go_on(by, steady)
    beat(9)
    assert stored(run).state == RunState.RUNNING
    assert holder.renew(clocks.moment, LEASE)
    beat(20)
    assert stored(run).state == RunState.RUNNING


@pytest.mark.parametrize("by", [HOUR, -3 * HOUR])
def test_a_worker_that_died_in_a_suspension_is_rescued_soon_after(clocks, beat, by):
    beat(20)
    run = in_hand_of(worker(clocks.moment, LEASE), clocks.moment)
    clocks.go_on(by, HOUR)
    assert seconds_until_rescued(run, beat) <= 12


def test_a_heartbeat_renews_its_lease_after_the_clock_was_set_back(clocks, beat, heartbeat):
    beat(20)
    clocks.go_on(-3 * HOUR, SECOND)
    beat(1)
    kept = Process.objects.get(role=Role.HEARTBEAT)
    assert kept.lease_until <= clocks.moment + LEASE


def test_runs_of_a_process_seen_to_end_are_rescued_at_the_next_pass(clocks, beat):
    """A supervising parent saw its child die: nobody has to wait for the lease."""
    beat(1)
    dead, living = worker(clocks.moment, LEASE), worker(clocks.moment, LEASE)
    run, other = in_hand_of(dead, clocks.moment), in_hand_of(living, clocks.moment)
    columns = {"end_reason": "killed by SIGKILL", "lease_until": clocks.moment}
    Process.objects.filter(pk=dead.pk).update(**columns)
    beat(1)
    assert stored(run).state == RunState.QUEUED
    assert f"The {dead} died (killed by SIGKILL)" in stored(run).reason
    assert stored(other).state == RunState.RUNNING


def test_an_idle_unwatched_second_makes_no_pass_for_expired_leases(clocks):
    mine = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=LEASE)
    worker(NOON - MINUTE, LEASE)
    outlook = look(mine, "default", NOON)
    assert not outlook.calls_for_tick(NOON, judges_leases=False)
    assert outlook.calls_for_tick(NOON, judges_leases=True)


def test_a_silent_host_is_distinguished_from_a_silent_worker():
    alone = in_hand_of(worker(NOON, LEASE), NOON)
    neighbour = worker(NOON, LEASE)
    later = NOON + LEASE + SECOND
    Process.objects.filter(pk=neighbour.pk).update(lease_until=later + LEASE)
    tick("default", later)
    assert "did not renew its lease; the run was queued again" in stored(alone).reason
    [again] = claim(worker(later, LEASE), ["default"], 1, later)
    Process.objects.filter(pk=neighbour.pk).update(lease_until=later + 35 * SECOND)
    tick("default", later + 31 * SECOND)
    assert f"neither did any other process on {neighbour.host}" in stored(again).reason


def test_a_lease_impossibly_far_ahead_is_invalid():
    """The clock was set back: a dead worker would be believed in for hours."""
    holder = worker(NOON, LEASE)
    run = in_hand_of(holder, NOON)
    Run.objects.update(started_at=NOON + SECOND)  # a little after its moment, as usual
    before = NOON - 3 * HOUR
    assert not Process.objects.alive(before).exists()
    scheduled("0 0 1 1 *").run_now()
    Run.objects.queued().update(ready_at=before)
    with pytest.raises(LeaseLost):
        claim(holder, ["default"], 1, before)
    mine = Process.join(Role.HEARTBEAT, using="default", now=before, lease=LEASE)
    assert look(mine, "default", before).calls_for_tick(before)
    tick("default", before)
    assert (stored(run).state, stored(run).ready_at) == (RunState.QUEUED, before)


def test_the_longest_configurable_lease_is_valid():
    longest = timedelta(hours=1)
    worker(NOON + SECOND, longest)
    assert Process.objects.alive(NOON).exists()
    assert not Process.objects.expired(NOON).exists()
    assert longest < LONGEST_LEASE


@pytest.mark.parametrize("by", [3 * HOUR, -3 * HOUR])
def test_a_heartbeat_keeps_ticking_when_the_clock_is_set(clocks, beat, heartbeat, by):
    beat(3)
    clocks.go_on(by, SECOND)
    wait = heartbeat._pass().wait
    assert 0 <= wait <= 1
    for _ in range(61):
        made = heartbeat._pass().tick
        clocks.go_on(SECOND)
        if made is not None:
            return
    raise AssertionError("it beats no more")


def test_the_clock_may_be_set_back_during_a_tick(clocks, heartbeat):
    """It would sleep until the clock has caught up."""
    began = clocks.moment
    clocks.go_on(-3 * HOUR, SECOND)
    assert heartbeat._seconds_to_next(began, None) <= 1
