"""How many runs a worker wins ahead, and what waits for too long in its hand."""

from datetime import timedelta

import pytest

from sisy.execution import Outcome
from sisy.models import Run, RunState
from sisy.worker import prefetch
from sisy.worker.prefetch import MAX_PREFETCH, PREFETCH_SECONDS, InFlight
from tests.support.moments import NOON, SECOND

SLOTS = 4


def run(pk):
    return Run(pk=pk, attempt=1)


def took(seconds):
    end = NOON + timedelta(seconds=seconds)
    return Outcome(state=RunState.SUCCEEDED, started_at=NOON, finished_at=end)


def hand_after(*seconds):
    """Return a hand in which runs have taken so long, one after the other."""
    in_hand = InFlight(SLOTS)
    for pk, taken in enumerate(seconds):
        in_hand.take(run(pk))
        assert in_hand.drop(run(pk), took(taken))
    return in_hand


def test_nothing_is_prefetched_before_a_run_has_ended():
    assert InFlight(SLOTS).room == SLOTS


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.01, 0.03, 0.1, 5.0])
def test_at_most_a_tenth_of_a_second_of_work_is_prefetched(seconds):
    room = hand_after(*[seconds] * 200).room
    assert SLOTS <= room <= SLOTS + MAX_PREFETCH
    assert (room - SLOTS) * seconds / SLOTS <= PREFETCH_SECONDS


def test_one_long_run_stops_prefetching():
    assert hand_after(*[0.001] * 200, 2.0).room == SLOTS


def test_the_capacity_excludes_claimed_runs():
    in_hand = hand_after(*[0.001] * 200)
    room = in_hand.room
    in_hand.take(run(1000))
    assert in_hand.room == room - 1


def test_more_is_prefetched_when_half_of_the_buffer_is_used():
    in_hand = hand_after(*[0.01] * 200)
    ahead = in_hand.room - SLOTS
    for pk in range(SLOTS + ahead):
        in_hand.take(run(pk))
    assert (in_hand.has_run_low, in_hand.has_waiting) == (False, True)
    for pk in range(ahead // 2 + 1):
        in_hand.drop(run(pk))
    assert in_hand.has_run_low


def test_without_prefetching_each_free_slot_is_filled():
    in_hand = InFlight(SLOTS)
    for pk in range(SLOTS):
        in_hand.take(run(pk))
    assert not in_hand.has_run_low
    in_hand.drop(run(0))
    assert in_hand.has_run_low


def test_runs_prefetched_for_too_long_are_found(monkeypatch):
    in_hand = InFlight(SLOTS)
    in_hand.take(run(1))
    assert in_hand.overdue() == []
    monkeypatch.setattr(prefetch, "PREFETCH_TIMEOUT", -1.0)
    assert [one.pk for one in in_hand.overdue()] == [1]


def test_an_unknown_run_cannot_be_dropped():
    assert not InFlight(SLOTS).drop(run(1))


def test_runs_whose_moment_has_not_come_leave_their_slots_to_others():
    in_hand = InFlight(SLOTS)
    early = run(1)
    early.ready_at = NOON
    in_hand.take(early, is_early=True)
    assert in_hand.room == in_hand.room_at(NOON - SECOND) == SLOTS
    assert in_hand.room_at(NOON) == in_hand.early_room == SLOTS - 1
    in_hand.note_ready(early)
    assert in_hand.room == SLOTS - 1


def test_without_a_free_slot_nothing_is_started_ahead():
    in_hand = hand_after(*[0.001] * 200)
    for pk in range(SLOTS):
        assert in_hand.early_room
        in_hand.take(run(pk), is_early=True)
    assert in_hand.early_room == 0
    assert not in_hand.exceeds_slots
    in_hand.take(run(SLOTS))
    assert in_hand.exceeds_slots
