"""Claims begin at a low-water mark, but never depend on it: a wrong one delays a run, at most."""

import random
from types import SimpleNamespace

import pytest

from sisy.heartbeat import tick
from sisy.models import Overlap, Process, Queue, Role, Run
from sisy.models.lease import Lease
from sisy.runtime.loop import RENEWAL_IN_DOUBT, RENEWAL_INTERVAL
from sisy.store.levels import Level
from sisy.worker.claim_session import ClaimSession
from sisy.worker.missing_code import Unresolved
from sisy.worker.prefetch import InFlight
from tests.roles.steps import LEASE, finish
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = pytest.mark.django_db(transaction=True)

RENEWAL = RENEWAL_INTERVAL * SECOND
IN_DOUBT = RENEWAL_IN_DOUBT * SECOND


class Claimer:
    """The claims of one worker, without its loop and its pool."""

    def __init__(self, *queues):
        lease = Lease(Role.WORKER, "default", queues=queues, slots=10)
        outcomes = SimpleNamespace(unrecorded=set())
        self.session = ClaimSession("default", queues, lease, InFlight(10), outcomes, Unresolved())
        self.claim()

    def claim(self, *, rung=False):
        runs = self.session.claim(10, was_rung_for=rung)
        self.session.confirm()
        return runs

    def raise_mark(self, moment, queue="default", priority=0):
        """Set a mark wrongly on purpose: say that the queue is empty up to ``moment``."""
        self.session._marks._levels[queue][priority] = Level(queue, priority, moment)


@pytest.fixture
def claimer(clocks):
    """Return a worker's claims, just after it has renewed its marks."""
    return Claimer("default")


def queued(ready_at=NOON - MINUTE, **fields):
    task = scheduled("0 0 1 1 *", overlap=Overlap.ALLOW, **fields)
    run = task.new_run(now=ready_at)
    run.save()
    return run


def test_a_run_below_a_mark_that_is_far_too_high_is_claimed_at_the_renewal(claimer, clocks):
    claimer.raise_mark(NOON + DAY)
    run = queued(NOON)
    assert claimer.claim() == []
    clocks.go_on(RENEWAL)
    assert claimer.claim() == [run]


def test_a_ring_hastens_the_renewal(claimer, clocks):
    claimer.raise_mark(NOON + DAY)
    run = queued()
    assert claimer.claim(rung=True) == []
    clocks.go_on(IN_DOUBT)
    assert claimer.claim(rung=True) == [run]


def test_rings_for_nothing_do_not_renew_the_marks_each_time(
    claimer, clocks, django_assert_num_queries
):
    clocks.go_on(IN_DOUBT)
    assert claimer.claim(rung=True) == []
    run = queued()
    for _ in range(4):
        clocks.go_on(IN_DOUBT / 5)
        assert claimer.claim(rung=True) == []
    clocks.go_on(IN_DOUBT / 5)
    assert claimer.claim(rung=True) == [run]


def test_runs_of_a_priority_that_appears_later_are_claimed_and_come_first(claimer, clocks):
    plain, urgent = queued(NOON), queued(NOON, priority=9)
    below = queued(NOON, priority=-3)
    clocks.go_on(RENEWAL)
    runs = claimer.claim()
    assert set(runs) == {urgent, plain, below}
    again = queued(clocks.moment, priority=9)
    assert claimer.claim() == [again]  # the priority is known now


def test_a_run_that_a_long_transaction_stores_late_is_claimed_at_the_renewal(claimer, clocks):
    for second in range(5):
        run = queued(clocks.moment)
        assert claimer.claim(rung=True) == [run]
        clocks.go_on(SECOND)
        if second == 2:
            claimer.claim()  # the marks are renewed, and the late run is not there yet
    late = queued(NOON - HOUR)
    clocks.go_on(RENEWAL)
    assert claimer.claim() == [late]


def test_a_released_run_is_claimed_at_once_by_a_worker_whose_mark_has_passed_it(claimer, clocks):
    other = Claimer("default")
    run = queued(NOON)
    assert claimer.claim(rung=True) == [run]
    clocks.go_on(MINUTE)
    other.claim()  # renews the marks
    clocks.go_on(SECOND)
    claimer.session.release([Run.objects.get(pk=run.pk)], "Its slots are taken.")
    assert other.claim() == [run]


def test_a_rescued_run_is_claimed_at_the_renewal(claimer, clocks):
    dead = Process.join(Role.WORKER, using="default", now=NOON - HOUR, lease=LEASE)
    task = scheduled("0 0 1 1 *")
    columns = {"process": dead, "started_at": NOON - HOUR, "attempt": 1}
    run = task.new_run(now=NOON - HOUR, state="running", **columns)
    run.save()
    assert claimer.claim(rung=True) == []
    assert tick("default", clocks.moment).rescued == 1
    clocks.go_on(RENEWAL)
    assert [one.pk for one in claimer.claim()] == [run.pk]


@pytest.mark.parametrize("is_rung", [False, True], ids=["polling", "rung"])
def test_a_clock_that_is_set_back_delays_no_run_by_more_than_the_renewal(claimer, clocks, is_rung):
    first = queued(NOON)
    assert claimer.claim(rung=True) == [first]
    clocks.go_on(-HOUR, steady=SECOND / 10)
    run = queued(clocks.moment)
    found = claimer.claim(rung=is_rung)
    clocks.go_on(IN_DOUBT if is_rung else RENEWAL)
    found += claimer.claim(rung=is_rung)
    assert found == [run]


def test_runs_queued_while_their_queue_was_paused_are_claimed_after_it(clocks):
    claimer = Claimer("default", "mails")
    Queue.objects.pause("mails")
    paused, other = queued(queue="mails"), queued()
    clocks.go_on(RENEWAL)
    assert claimer.claim() == [other]
    Queue.objects.resume("mails")
    assert claimer.claim() == [paused]  # the mark of a paused queue stays where it is


def test_a_blocked_run_keeps_the_mark_and_starts_as_soon_as_it_may(claimer, clocks):
    task = scheduled("0 0 1 1 *", overlap=Overlap.BUFFER_ALL)
    first, second = (task.new_run(now=NOON - n * SECOND) for n in (30, 20))
    first.save()
    second.save()
    clocks.go_on(RENEWAL)
    [running] = claimer.claim()
    assert running == first
    for _ in range(5):  # runs behind the blocked one go on meanwhile
        clocks.go_on(SECOND)
        later = queued(clocks.moment)
        assert later in claimer.claim(rung=True)
    finish(running, clocks.moment)
    clocks.go_on(SECOND / 10)
    assert claimer.claim() == [second]


@pytest.mark.parametrize("seed", range(3))
def test_workers_with_wrong_marks_claim_each_run_once(clocks, seed):
    draw = random.Random(seed)
    queues, priorities = ["default", "mails"], [-1, 0, 5]
    claimers = [Claimer(*queues) for _ in range(3)]
    wanted, found = set(), []
    for _ in range(4):
        for _ in range(6):
            ready_at = clocks.moment - draw.choice([0, 1, 60, 3600]) * SECOND
            fields = {"queue": draw.choice(queues), "priority": draw.choice(priorities)}
            wanted.add(queued(ready_at, **fields).pk)
        for claimer in draw.sample(claimers, 2):
            wrong = clocks.moment + draw.choice([-1, 1]) * draw.uniform(0, 5000) * SECOND
            claimer.raise_mark(wrong, draw.choice(queues), draw.choice(priorities))
            found += [run.pk for run in claimer.claim(rung=draw.random() < 0.5)]
        clocks.go_on(SECOND * draw.random())
    clocks.go_on(RENEWAL)
    for claimer in claimers * 2:
        found += [run.pk for run in claimer.claim()]
    assert sorted(found) == sorted(wanted)


def test_a_run_that_is_ready_before_a_delayed_one_is_claimed_at_once(claimer, clocks):
    queued(NOON + HOUR)
    clocks.go_on(RENEWAL)
    assert claimer.claim() == []
    run = queued(clocks.moment)
    assert claimer.claim() == [run]
