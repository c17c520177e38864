"""Several workers that claim at the same moment."""

import threading
from collections import Counter
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connection

from sisy.heartbeat import tick
from sisy.models import Overlap, Run, RunState, Task, TaskState
from sisy.store.isolation import past_deadlocks
from sisy.worker.claim import claim
from tests.concurrency.threads import (
    BEFORE_IT_LOCKS_TASKS,
    BEFORE_IT_WRITES_RUNS,
    all_of,
    at_once,
    finish,
    in_the_middle,
)
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

QUEUES = ["default"]


def queued_runs(count, **fields):
    for _ in range(count):
        scheduled(**fields)
    tick("default", NOON + MINUTE)


def claims(limit, now=NOON + MINUTE, workers=4):
    """Let several workers claim at once; return what each has won."""
    return at_once(*(partial(claim, worker(), QUEUES, limit, now) for _ in range(workers)))


def alone(now):
    """Let one worker claim while no others do, and return what it has won.

    InnoDB locks the whole of a table of a few rows: of several that claim at once, each may leave
    it to the others.
    """
    return claim(worker(), QUEUES, 1, now)


class Running:
    """Which runs go on, by what the workers do, and the tasks of which two went on at once."""

    def __init__(self):
        self._tasks = Counter()
        self._lock = threading.Lock()
        self.beside_itself = set()
        self.carried_out = []

    @contextmanager
    def carry_out(self, run):
        with self._lock:
            self._tasks[run.task_id] += 1
            if self._tasks[run.task_id] > 1:
                self.beside_itself.add(run.task_id)
            self.carried_out.append(run.pk)
        yield
        with self._lock:
            self._tasks[run.task_id] -= 1

    def work(self, now, limit=3):
        """Claim and finish until nothing is left to claim.

        Each step by itself is tried again after a deadlock, as roles do: who claims anew instead
        would leave what he has won without an end.
        """
        holder = past_deadlocks(worker)
        while runs := past_deadlocks(claim, holder, QUEUES, limit, now):
            for run in runs:
                # It counts as over before that is written down: after, others may have begun.
                with self.carry_out(run):
                    pass
                past_deadlocks(finish, [run], now)


@pytest.mark.parametrize("overlap", Overlap.values)
def test_four_workers_take_every_run_once_and_leave_none(overlap):
    queued_runs(60, overlap=overlap)
    holders = [worker() for _ in range(4)]

    def take_all(holder):
        taken = []
        while runs := claim(holder, QUEUES, 4, NOON + MINUTE):
            assert len(runs) <= 4
            taken += [(run.pk, holder.pk, 1) for run in runs]
        return taken

    taken = all_of(at_once(*(partial(take_all, holder) for holder in holders)))
    held = Run.objects.filter(state=RunState.RUNNING).values_list("pk", "process", "attempt")
    assert sorted(taken) == sorted(held)
    assert len(taken) == 60


def test_the_workers_together_take_the_runs_with_the_largest_priorities():
    for priority in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9):
        queued_runs(4, priority=priority)
    priorities = sorted(Run.objects.values_list("priority", flat=True), reverse=True)
    for wave in range(3):
        won = claims(5)
        assert [len(runs) for runs in won] == [5, 5, 5, 5]
        taken = sorted((run.priority for run in all_of(won)), reverse=True)
        assert taken == priorities[20 * wave : 20 * (wave + 1)]


def test_four_workers_start_one_run_of_an_exclusive_task():
    """What is queued takes its turn: in the end all of it was carried out."""
    task, other = scheduled(), scheduled()
    for one in (task, other):
        for _ in range(8):
            one.run_now()
    over = 0
    while live := Run.objects.live().count():
        won = all_of(claims(2, NOON))
        assert 1 <= len(won) == Run.objects.running().count()
        assert max(Counter(run.task_id for run in won).values()) == 1
        finish(won, NOON)
        over += len(won)
        assert live - len(won) == Run.objects.live().count()
    assert over == Run.objects.filter(state=RunState.SUCCEEDED).count() == 16


@pytest.mark.parametrize("overlap", Overlap.values)
def test_workers_execute_runs_planned_in_the_meantime_once_each(now, overlap):
    tasks = [scheduled("* * * * * *", overlap=overlap) for _ in range(5)]
    going, seconds = Running(), 15
    for n in range(1, seconds + 1):
        now.moment = NOON + n * SECOND
        works = [partial(going.work, now.moment)] * 3
        at_once(*[partial(tick, "default", now.moment)] * 2, *works)
    tick(
        "default", now.moment
    )  # those of the last second may have met with tasks locked by claims
    for _ in tasks:  # what was locked by another worker when it was looked at, or waited its turn
        going.work(now.moment)
    states = Counter(Run.objects.values_list("state", flat=True))
    assert states[RunState.SUCCEEDED] + states[RunState.SKIPPED] == seconds * len(tasks)
    assert states[RunState.SKIPPED] == 0 or overlap != Overlap.ALLOW
    assert sorted(going.carried_out) == sorted(
        Run.objects.filter(state=RunState.SUCCEEDED).values_list("pk", flat=True)
    )
    assert not going.beside_itself or overlap == Overlap.ALLOW


def test_all_iterations_are_executed_while_others_are_skipped(now):
    """A skipped occurrence gives its iteration back, while ticks spend them."""
    labels = [f"task {n}" for n in range(5)]
    for label in labels:
        scheduled("* * * * * *", label=label, iterations=3)
    holders, going = [worker(), worker()], []
    for n in range(1, 61):
        now.moment = NOON + n * SECOND
        two_ticks = [partial(tick, "default", now.moment)] * 2
        two_claims = [partial(claim, holder, QUEUES, 9, now.moment) for holder in holders]
        *_, one, two = at_once(*two_ticks, *two_claims)
        going.append(one + two)
        if len(going) == 5:  # each run takes four seconds
            finish(going.pop(0), now.moment)
    assert not Task.objects.exists()
    succeeded = Run.objects.filter(state=RunState.SUCCEEDED)
    assert Counter(succeeded.values_list("label", flat=True)) == dict.fromkeys(labels, 3)
    assert Run.objects.filter(state=RunState.SKIPPED).exists()


@pytest.mark.parametrize(
    ("overlap", "queued", "is_asked_to_end"),
    [
        (Overlap.SKIP, [], False),
        (Overlap.BUFFER_ONE, [2], False),
        (Overlap.BUFFER_ALL, [2, 3, 4, 5, 6], False),
        (Overlap.CANCEL_OTHER, [6], True),
        (Overlap.TERMINATE_OTHER, [6], True),
    ],
)
def test_ten_workers_start_the_oldest_run_and_settle_the_others_once(
    now, overlap, queued, is_asked_to_end
):
    """Two workers that decide at once would start two, or skip what the other one buffers."""
    task = scheduled(overlap=overlap)
    for minute in range(1, 7):
        tick("default", NOON + minute * MINUTE)
    now.moment = NOON + 6.5 * MINUTE
    [first] = all_of(claims(1, now.moment, workers=10)) or alone(now.moment)
    assert first.due_at == NOON + MINUTE
    claims(1, now.moment, workers=10)
    assert alone(now.moment) == []
    left = Run.objects.queued().order_by("due_at").values_list("due_at", flat=True)
    assert [(due - NOON) / MINUTE for due in left] == queued
    first.refresh_from_db()
    assert (first.cancel_requested_at is not None) == is_asked_to_end
    assert stored(task).runs_planned == 1 + len(queued)


def test_a_run_that_waits_for_its_turn_keeps_no_slot_from_others():
    first, other = scheduled(), scheduled(priority=-1)
    for _ in range(3):
        first.run_now()
    other.run_now()
    assert [run.task for run in claim(worker(), QUEUES, 1, NOON)] == [first]
    assert [run.task for run in claim(worker(), QUEUES, 1, NOON)] == [other]


def test_a_run_sees_what_the_previous_run_of_its_task_saved():
    """Else functions that count in their userdata lose counts, although they never overlap."""
    task = scheduled()
    task.run_now()
    [first] = claim(worker(), QUEUES, 1, NOON)
    task.run_now()

    def save_and_end():
        first.task.userdata["n"] = 1
        first.task.save()
        finish([first], NOON)

    step = partial(claim, worker(), QUEUES, 1, NOON)
    won, _ = in_the_middle(step, save_and_end, BEFORE_IT_LOCKS_TASKS)
    [second] = won or claim(worker(), QUEUES, 1, NOON)
    assert second.task.userdata == {"n": 1}


@pytest.mark.skipif(
    connection.vendor != "postgresql",
    reason="SQLite has no row locks, and InnoDB locks the whole of a table of a few rows",
)
def test_a_worker_waits_for_no_other_worker():
    queued_runs(4)
    left_over = []

    def meanwhile():
        runs = claim(worker(), QUEUES, 2, NOON + MINUTE)
        left_over.append(Run.objects.queued().count())
        return runs

    step = partial(claim, worker(), QUEUES, 2, NOON + MINUTE)
    first, second = in_the_middle(step, meanwhile, BEFORE_IT_WRITES_RUNS)
    assert left_over == [2]  # the first worker had started nothing yet
    assert len({run.pk for run in first + second}) == 4


def test_a_task_paused_during_a_claim_runs_and_stays_paused():
    queued_runs(10)
    tasks = list(Task.objects.all())
    for task in tasks:
        *won, _ = at_once(
            *(partial(claim, worker(), QUEUES, 1, NOON + MINUTE) for _ in range(2)),
            partial(task.pause, "holidays"),
        )
        finish(all_of(won), NOON + MINUTE)
    assert {stored(task).state for task in tasks} == {TaskState.PAUSED}
    assert {run.state for run in Run.objects.all()} == {RunState.SUCCEEDED}
