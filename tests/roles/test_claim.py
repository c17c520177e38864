"""Which queued runs a worker wins, and what becomes of those that would overlap."""

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import tick
from sisy.models import Missed, Run, RunState, Task
from sisy.store.levels import Level, ready_moments
from sisy.worker.claim import claim
from tests.roles.steps import finish, states
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def test_a_run_is_claimed_by_one_worker():
    scheduled()
    tick("default", NOON + MINUTE)
    first = claim(worker(), ["default"], 10, NOON + MINUTE)
    assert len(first) == 1
    assert claim(worker(), ["default"], 10, NOON + MINUTE) == []
    assert (first[0].attempt, first[0].state) == (1, RunState.RUNNING)


def test_workers_take_only_from_their_queues_larger_priorities_first():
    scheduled(queue="other")
    low, high = scheduled(priority=-1), scheduled(priority=5)
    tick("default", NOON + MINUTE)
    runs = claim(worker(), ["default"], 10, NOON + MINUTE)
    assert [run.task for run in sorted(runs, key=lambda run: -run.priority)] == [high, low]
    assert len(claim(worker(), ["default"], 10, NOON + MINUTE)) == 0


def test_an_idle_worker_checks_for_ready_runs_with_one_query(
    django_assert_num_queries,
):
    scheduled(queue="other")
    scheduled(queue="mine")
    its, mine = Level("its"), Level("mine")
    assert ready_moments("default", [mine], NOON + MINUTE) == (False, None)
    tick("default", NOON + MINUTE)
    with django_assert_num_queries(1):
        assert ready_moments("default", [its, mine], NOON + MINUTE) == (True, None)
    assert ready_moments("default", [its], NOON + MINUTE) == (False, None)
    assert ready_moments("default", [mine], NOON) == (False, NOON + MINUTE)
    assert len(claim(worker(), ["mine"], 10, NOON + MINUTE)) == 1
    assert ready_moments("default", [mine], NOON + MINUTE) == (False, None)


def test_a_run_that_would_overlap_is_skipped_and_names_the_blocker():
    scheduled()
    tick("default", NOON + MINUTE)
    [first] = claim(worker(), ["default"], 10, NOON + MINUTE)
    tick("default", NOON + 2 * MINUTE)
    assert claim(worker(), ["default"], 10, NOON + 2 * MINUTE) == []
    skipped = Run.objects.get(state=RunState.SKIPPED)
    assert skipped.blocked_by_id == first.pk
    assert skipped.reason == f"Run {first.pk} of the task was still running."


def test_occurrences_delayed_together_run_one_after_the_other():
    scheduled("* * * * * *")
    now = NOON + 3 * SECOND
    tick("default", now)
    for _ in range(3):
        [run] = claim(worker(), ["default"], 10, now)
        finish(run, now)
    assert states() == ["succeeded"] * 3


def test_occurrences_without_a_worker_do_not_pile_up():
    scheduled("* * * * * *")
    for second in range(1, 61):
        tick("default", NOON + second * SECOND)
    [run] = claim(worker(), ["default"], 4, NOON + MINUTE)
    assert run.due_at == NOON + SECOND
    assert claim(worker(), ["default"], 4, NOON + MINUTE) == []
    assert states().count(RunState.SKIPPED) == 53
    finish(run, NOON + MINUTE)
    [run] = claim(worker(), ["default"], 4, NOON + MINUTE)
    assert run.due_at == NOON + 55 * SECOND


def test_a_task_that_allows_overlap_runs_beside_itself():
    scheduled(allow_overlap=True)
    for minute in (1, 2):
        tick("default", NOON + minute * MINUTE)
        assert len(claim(worker(), ["default"], 10, NOON + minute * MINUTE)) == 1


def test_a_skipped_occurrence_does_not_count_as_an_iteration():
    task = scheduled(iterations=2)
    tick("default", NOON + MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    tick("default", NOON + 2 * MINUTE)
    assert claim(worker(), ["default"], 10, NOON + 2 * MINUTE) == []
    finish(run, NOON + 2 * MINUTE)
    tick("default", NOON + 2 * MINUTE + SECOND)
    tick("default", NOON + 3 * MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + 3 * MINUTE)
    finish(run, NOON + 3 * MINUTE)
    assert states() == ["succeeded", "skipped", "succeeded"]
    assert not Task.objects.filter(pk=task.pk).exists()


def claim_here(now, limit=10):
    return claim(worker(now), ["default"], limit, now)


def test_a_retry_that_meets_another_run_waits_for_its_turn():
    task = scheduled(max_attempts=2, retry_delay=MINUTE)
    tick("default", NOON + MINUTE)
    [first] = claim_here(NOON + MINUTE)
    finish(first, NOON + MINUTE, state=RunState.FAILED)
    Run.objects.filter(pk=first.pk).update(ready_at=NOON + 2 * MINUTE + SECOND)
    tick("default", NOON + 2 * MINUTE)
    [second] = claim_here(NOON + 2 * MINUTE)
    now = NOON + 2 * MINUTE + 30 * SECOND
    assert claim_here(now) == []
    finish(second, now)
    [again] = claim_here(now)
    assert (again.pk, again.attempt) == (first.pk, 2)
    task.refresh_from_db()
    assert task.runs_planned == 2


def test_caught_up_occurrences_run_one_after_the_other():
    scheduled("0 * * * *", missed=Missed.ALL)
    now = NOON + 5 * HOUR + 30 * MINUTE
    tick("default", now)
    begun = []
    while runs := claim_here(now):
        begun += [run.due_at for run in runs]
        finish(*runs, now)
        now += 5 * MINUTE
    assert begun == [NOON + n * HOUR for n in range(1, 6)]
    assert states() == ["succeeded"] * 5


def test_runs_that_overlap_only_because_of_our_delay_are_not_skipped():
    scheduled("* * * * * *")
    tick("default", NOON + SECOND)
    [late] = claim_here(NOON + SECOND * 1.95)
    tick("default", NOON + 2 * SECOND)
    assert claim_here(NOON + 2.01 * SECOND) == []
    finish(late, NOON + 2.02 * SECOND)
    assert len(claim_here(NOON + 2.02 * SECOND)) == 1


def test_a_run_is_skipped_if_the_previous_one_still_runs_even_if_it_was_late():
    scheduled("* * * * * *")
    tick("default", NOON + SECOND)
    claim_here(NOON + 1.5 * SECOND)
    tick("default", NOON + 2 * SECOND)
    claim_here(NOON + 3.1 * SECOND)
    assert states() == ["running", "skipped"]


def test_a_long_queue_of_skipped_runs_delays_nothing():
    behind = scheduled("0 0 1 1 *", priority=-1)
    task = scheduled("* * * * * *")
    tick("default", NOON + SECOND)
    [going] = claim_here(NOON + SECOND)
    for n in range(2, 1002):
        due = NOON + n * SECOND
        task.new_run(now=due, due_at=due).save()
    behind.run_now()
    with CaptureQueriesContext(connection) as queries:
        [run] = claim_here(NOON + HOUR, limit=1)
    assert run.task == behind
    skipped = Run.objects.filter(state=RunState.SKIPPED, blocked_by=going)
    assert skipped.count() == 1000
    assert len(queries) < 100


def test_runs_of_several_queues_are_claimed_by_priority():
    for queue, priority in [("a", 1), ("b", 3), ("a", 2), ("b", 0), ("c", 9)]:
        scheduled("0 0 1 1 *", queue=queue, priority=priority).run_now()
    won = claim(worker(), ["a", "b"], 3, NOON)
    assert [(run.queue, run.priority) for run in won] == [("b", 3), ("a", 2), ("a", 1)]


def test_a_run_of_a_deleted_task_is_cancelled_and_does_not_start():
    run = scheduled("0 0 1 1 *").run_now()
    models.QuerySet.delete(Task.objects.all())
    assert claim_here(NOON) == []
    run.refresh_from_db()
    assert (run.state, run.reason) == (RunState.CANCELLED, "The task was deleted.")
