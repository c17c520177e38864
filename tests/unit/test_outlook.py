"""When a worker looks for the run that becomes ready next, and what it may not pass over."""

from datetime import timedelta

import pytest

from sisy import clock
from sisy.worker import outlook as module
from sisy.worker.outlook import LOOK_INTERVAL, Outlook
from tests.support.moments import HOUR, NOON, SECOND

MS = timedelta(milliseconds=1)
LEAD = 50 * MS


class Queue:
    """Moments at which runs become ready; those that are claimed leave it."""

    def __init__(self):
        self.moments = []
        self.looks = 0

    def ready_moments(self, using, levels, now):
        self.looks += 1
        later = [moment for moment in self.moments if moment > now]
        return any(moment <= now for moment in self.moments), min(later, default=None)


@pytest.fixture
def queue(monkeypatch):
    queue = Queue()
    monkeypatch.setattr(module, "ready_moments", queue.ready_moments)
    return queue


@pytest.fixture
def outlook(queue):
    return Outlook("default", list)


def test_a_run_that_becomes_ready_between_claim_and_look_is_found(queue, outlook):
    queue.moments = [NOON, NOON + SECOND]
    outlook.note_ring()
    outlook.note_claim(NOON - MS)  # it found nothing
    assert outlook.is_look_due(has_won=False)
    outlook.look_again()  # later than noon
    assert outlook.next_ready == NOON
    assert outlook.next_claim(NOON + MS, LEAD) <= NOON + MS


def test_a_run_that_stays_queued_is_passed_over_once_it_was_tried(queue, outlook):
    queue.moments = [NOON]
    outlook.look(NOON - SECOND)
    outlook.note_claim(NOON + MS)  # it may not start, for example because of its task
    assert outlook.is_look_due(has_won=False)
    outlook.look_again()
    assert outlook.next_claim(NOON + MS, LEAD) is None
    assert not outlook.is_look_due(has_won=False)


def test_a_ring_that_won_a_run_is_followed_by_a_look_soon(queue, outlook, monkeypatch):
    seconds = [1000.0]
    monkeypatch.setattr(clock, "steady", lambda: seconds[0])
    outlook.look(NOON)
    outlook.note_ring()
    # It may have announced a run that was planned ahead as well. But many rings cause few looks.
    assert not outlook.is_look_due(has_won=True)
    assert outlook.has_unseen_ring
    seconds[0] += LOOK_INTERVAL
    assert outlook.is_look_due(has_won=True)
    outlook.look_again()
    assert not outlook.has_unseen_ring


def test_a_run_is_claimed_early_once_and_then_at_its_moment(queue, outlook):
    queue.moments = [NOON]
    outlook.look(NOON - SECOND)
    assert outlook.next_claim(NOON - SECOND, LEAD) == NOON - LEAD
    outlook.note_early_claim(NOON)
    outlook.look_again()
    assert outlook.next_claim(NOON - MS, LEAD) == NOON


def test_after_the_clock_was_set_back_runs_are_claimed_early_again(queue, outlook):
    outlook.note_early_claim(NOON)
    queue.moments = [NOON - HOUR]
    outlook.look(NOON - 2 * HOUR)
    assert outlook.next_claim(NOON - 2 * HOUR, LEAD) == NOON - HOUR - LEAD


def test_the_first_runs_of_renewed_marks_save_a_look(queue, outlook):
    outlook.note_ring()
    outlook.note_firsts([NOON + SECOND, NOON + HOUR], NOON)
    assert outlook.next_ready == NOON + SECOND
    assert not outlook.is_look_due(has_won=False)
    assert queue.looks == 0
