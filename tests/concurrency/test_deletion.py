"""Tasks that are deleted while they are ticked, claimed, recorded or saved."""

from functools import partial

import pytest
from django.db import DatabaseError

from sisy.heartbeat import retention, tick
from sisy.lifecycle.release import release
from sisy.models import Run, RunState, Task, TaskState
from sisy.worker.claim import claim
from tests.concurrency.threads import (
    BEFORE_IT_DELETES_TASKS,
    BEFORE_IT_LOCKS,
    BEFORE_IT_WRITES_RUNS,
    BEFORE_IT_WRITES_TASKS,
    at_once,
    finish,
    in_the_middle,
)
from tests.support.moments import DAY, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

ENDS = {RunState.SUCCEEDED, RunState.CANCELLED, RunState.MISSED}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

QUEUES = ["default"]
DUE = NOON + MINUTE


def deleting(way, *tasks):
    """Return what deletes tasks, by one of the ways in which people do."""
    if way == "query":
        return Task.objects.filter(pk__in=[task.pk for task in tasks]).delete
    copies = [stored(task) for task in tasks]
    return lambda: [copy.delete() for copy in copies]


def ledger():
    return set(Run.objects.values_list("task", "state", "reason"))


def cancelled(*keys):
    return {(key, RunState.CANCELLED, "The task was deleted.") for key in keys}


def claiming_all():
    return partial(claim, worker(), QUEUES, 20, DUE)


WAYS = ["save", "query"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", [BEFORE_IT_LOCKS, BEFORE_IT_WRITES_TASKS])
def test_a_task_deleted_during_a_tick_leaves_no_run_to_claim(where, way):
    task, other = scheduled(), scheduled()
    expected = {(other.pk, RunState.QUEUED, ""), *cancelled(task.pk)}
    in_the_middle(partial(tick, "default", DUE), deleting(way, task), where)
    assert not Task.objects.filter(pk=task.pk).exists()
    assert ledger() <= expected
    assert [run.task for run in claim(worker(), QUEUES, 9, DUE)] == [other]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", [BEFORE_IT_WRITES_RUNS, BEFORE_IT_DELETES_TASKS])
def test_a_tick_in_the_middle_of_a_deletion_leaves_no_run_to_be_taken(where, way):
    task, ticking = scheduled(), partial(tick, "default", DUE)
    expected = cancelled(task.pk)
    in_the_middle(deleting(way, task), ticking, where)
    assert not Task.objects.exists()
    assert ledger() <= expected


@pytest.mark.parametrize("way", WAYS)
def test_tasks_can_be_deleted_during_ticks_and_claims(now, way):
    for _ in range(8):
        tasks = [scheduled(overlap="allow") for _ in range(20)]
        for task in tasks:
            task.run_now()
        now.moment += MINUTE
        claims = [partial(claim, worker(), QUEUES, 20, now.moment) for _ in range(2)]
        ticks = [partial(tick, "default", now.moment)] * 2
        *_, one, two, _ = at_once(*ticks, *claims, deleting(way, *tasks))
        finish(one + two, now.moment)
        assert not Task.objects.exists()
        assert {state for _, state, _ in ledger()} <= ENDS


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_is_deleted_while_its_run_is_claimed_lets_the_run_end(way):
    task = scheduled(overlap="allow")
    key, run = task.pk, task.run_now()
    won, _ = in_the_middle(claiming_all(), deleting(way, task), BEFORE_IT_WRITES_RUNS)
    assert [(one.pk, one.task) for one in won] == [(run.pk, task)]
    finish(won, DUE)
    assert ledger() == {(key, RunState.SUCCEEDED, "")}
    assert not Task.objects.exists()


def test_a_task_can_be_deleted_while_a_run_is_submitted():
    """The run is cancelled with the task, or by the worker that claims it."""
    keys = []
    for _ in range(15):
        task = scheduled()
        keys.append(task.pk)
        at_once(stored(task).run_now, deleting("save", task), stored(task).run_now)
        assert not Task.objects.exists()
        assert claim(worker(), QUEUES, 20, DUE) == []
        assert ledger() <= cancelled(*keys)
    assert Run.objects.count() == 2 * len(keys)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", [None, DUE + SECOND])
def test_tasks_can_be_deleted_while_the_outcomes_of_their_runs_are_recorded(end, way):
    """Those with an end are deleted by the recording as well."""
    for _ in range(8):
        tasks = [scheduled(end_running=end) for _ in range(20)]
        tick("default", DUE)
        runs = claim(worker(), QUEUES, 20, DUE)
        recording = partial(finish, list(reversed(runs)), DUE)
        at_once(recording, deleting(way, *tasks), partial(tick, "default", DUE + MINUTE))
        assert not Task.objects.exists()
        assert Run.objects.filter(state=RunState.SUCCEEDED).count() == 20
        Run.objects.all().delete()


def test_a_run_that_fails_after_its_task_was_deleted_is_not_tried_again():
    task = scheduled("0 0 1 1 *", max_attempts=5)
    key = task.run_now().task_id
    won = claim(worker(), QUEUES, 1, DUE)
    task.delete()
    finish(won, DUE, state=RunState.FAILED, reason="RuntimeError: no")
    assert claim(worker(), QUEUES, 1, DUE + DAY) == []
    assert ledger() == {(key, RunState.FAILED, "RuntimeError: no")}


def test_a_run_released_after_its_task_was_deleted_does_not_start_again():
    task = scheduled("0 0 1 1 *")
    task.run_now()
    won = claim(worker(), QUEUES, 1, DUE)
    task.delete()
    release("default", won, "Its worker stopped.", NOON)
    assert claim(worker(), QUEUES, 1, DUE) == []
    assert not Run.objects.live().exists()


def test_finished_tasks_are_deleted_once_by_four_ticks_and_two_workers():
    for n in range(1, 6):
        now = NOON + n * MINUTE
        keys = {scheduled("* * * * *", iterations=1).pk for _ in range(20)}
        Task.objects.update(next_run=now)
        tick("default", now)
        first, second = (claim(worker(), QUEUES, 10, now) for _ in range(2))
        at_once(
            partial(finish, list(reversed(first)), now),
            partial(finish, second, now),
            *[partial(tick, "default", now)] * 4,
        )
        tick("default", now)
        assert not Task.objects.exists()
        runs = Run.objects.filter(task__in=keys)
        assert set(runs.values_list("task", "state")) == {
            (key, RunState.SUCCEEDED) for key in keys
        }


@pytest.mark.parametrize("edit", ["save", "update"])
@pytest.mark.parametrize("where", [BEFORE_IT_LOCKS, BEFORE_IT_DELETES_TASKS])
def test_extending_a_finished_task_either_keeps_it_or_reports_its_deletion(where, edit):
    task = scheduled(end_running=DUE + SECOND)
    tick("default", DUE)
    [run] = claim(worker(), QUEUES, 1, DUE)
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED)
    copy = stored(task)

    def prolong():
        if edit == "update":
            return bool(Task.objects.filter(pk=task.pk).update(end_running=NOON + DAY))
        copy.end_running = NOON + DAY
        try:
            copy.save()
        except DatabaseError:
            return False
        return True

    deletion = partial(retention.delete_ended, "default")
    _, was_prolonged = in_the_middle(deletion, prolong, where)
    tick("default", DUE)
    kept = Task.objects.filter(state=TaskState.ACTIVE, end_running=NOON + DAY).exists()
    assert kept == was_prolonged
