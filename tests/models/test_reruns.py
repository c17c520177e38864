"""Runs that make good what failed or never ran.

The failure of the field: "run now" forks a second chain of runs that goes on for ever.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction

from sisy.exceptions import CallableError
from sisy.heartbeat import tick
from sisy.models import Missed, Origin, Overlap, Run, RunState, Task, task_with_callable
from sisy.planning.backfill import BACKFILL_LIMIT
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.steps import finish
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

SCHEDULERS = ("state", "next_run", "last_run", "planned_until", "planning_since", "runs_planned")


def schedulers_columns(task):
    return Task.objects.filter(pk=task.pk).values(*SCHEDULERS).get()


def failed_run(now, **fields):
    task = scheduled(**fields)
    now.moment = NOON + MINUTE
    tick("default", now.moment)
    [run] = claim(worker(), ["default"], 1, now.moment)
    finish(run, now.moment, RunState.FAILED)
    run.refresh_from_db()
    return task, run


def test_a_retry_repeats_the_occurrence_and_keeps_the_schedule(now):
    task, run = failed_run(now)
    before = schedulers_columns(task)
    again = run.retry()
    assert (again.origin, again.state, again.due_at) == (Origin.RETRY, "queued", None)
    assert (again.occurrence_at, again.retry_of_id) == (run.due_at, run.pk)
    assert schedulers_columns(task) == before
    [begun] = claim(worker(), ["default"], 9, now.moment)
    assert (begun.pk, begun.moment) == (again.pk, run.due_at)
    finish(begun, now.moment)
    tick("default", now.moment + MINUTE)
    assert Run.objects.filter(origin=Origin.SCHEDULE).count() == 2
    assert Run.objects.exclude(origin=Origin.SCHEDULE).count() == 1


def test_a_retry_of_a_retry_repeats_the_same_occurrence(now):
    _, run = failed_run(now)
    again = run.retry()
    Run.objects.filter(pk=again.pk).update(state=RunState.FAILED)
    again.refresh_from_db()
    assert again.retry().occurrence_at == run.due_at


def test_a_run_is_not_retried_again_while_a_retry_is_queued_or_running(now):
    _, run = failed_run(now)
    again = run.retry()
    with pytest.raises(ValueError, match=rf"is being retried: .*#{again.pk} is queued"):
        run.retry()
    [begun] = claim(worker(), ["default"], 9, now.moment)
    with pytest.raises(ValueError, match=rf"is being retried: .*#{again.pk} is running"):
        run.retry()
    finish(begun, now.moment, RunState.FAILED)
    assert run.retry().pk != again.pk


def test_a_run_of_a_deleted_task_is_not_retried_again_meanwhile(now):
    Task.run_once(jobs.noop)
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED)
    run = Run.objects.get(pk=run.pk)
    again = run.retry()
    with pytest.raises(ValueError, match=rf"is being retried: .*#{again.pk} is queued"):
        run.retry()
    assert Task.objects.count() == 1


def test_two_who_retry_a_run_at_once_submit_one_retry(now):
    _, run = failed_run(now)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(retry_elsewhere, run) for _ in range(2)]
        assert sorted(each.result(60) for each in asked) == [False, True]
    assert Run.objects.filter(origin=Origin.RETRY).count() == 1


def retry_elsewhere(run):
    try:
        run.retry()
    except ValueError:
        return False
    else:
        return True
    finally:
        connection.close()


def test_a_run_whose_task_was_deleted_is_retried_by_a_copy(now):
    task = Task.run_once(jobs.noop, userdata={"n": 5})
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED)
    assert not Task.objects.filter(pk=task.pk).exists()
    run = Run.objects.get(pk=run.pk)
    again = run.retry()
    [begun] = claim(worker(), ["default"], 1, NOON)
    assert (begun.pk, begun.task.userdata) == (again.pk, {"n": 5})
    finish(begun, NOON)
    assert not Task.objects.exists()


def test_a_run_whose_function_is_gone_is_not_retried(now):
    Task.run_once(jobs.noop)
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED)
    Run.objects.update(target_path="tests.app.jobs.moved")
    with pytest.raises(CallableError):
        Run.objects.get(pk=run.pk).retry()
    assert not Task.objects.exists()


def test_an_unfinished_run_is_not_retried(now):
    run = scheduled().run_now()
    with pytest.raises(ValueError, match=r"is queued\. Only finished runs can be retried"):
        run.retry()


def test_a_gap_is_not_retried_but_backfilled(now):
    task = scheduled()
    now.moment = NOON + HOUR
    tick("default", now.moment)
    gap = Run.objects.get(state=RunState.MISSED)
    with pytest.raises(
        ValueError, match=r"records 59 missed occurrences, .* Backfill its task from"
    ):
        gap.retry()
    assert len(task.backfill(gap.due_at, gap.due_until + timedelta(microseconds=1))) == 59


def test_a_backfill_runs_what_did_not_succeed_in_order_one_at_a_time(now):
    task, failed = failed_run(now)
    now.moment = NOON + 5 * MINUTE
    tick("default", now.moment)  # the latest one, the fifth, runs; the others are missed
    before = schedulers_columns(task)
    runs = task.backfill(NOON, NOON + 5 * MINUTE)
    assert [run.occurrence_at for run in runs] == [NOON + n * MINUTE for n in range(5)]
    assert schedulers_columns(task) == before
    begun = []
    while won := claim(worker(), ["default"], 9, now.moment):
        [run] = won
        begun.append(run.moment)
        finish(run, now.moment + 10 * SECOND)
        now.moment += MINUTE
    assert sorted(begun) == [NOON + n * MINUTE for n in range(6)]
    assert set(Run.objects.filter(origin=Origin.BACKFILL).values_list("state", flat=True)) == {
        "succeeded"
    }
    assert failed.due_at == NOON + MINUTE


def test_a_backfill_starts_at_once_if_the_task_may_overlap(now):
    task = scheduled(overlap=Overlap.ALLOW)
    task.backfill(NOON - 5 * MINUTE, NOON)
    assert len(claim(worker(), ["default"], 9, NOON)) == 5


def test_a_second_backfill_finds_nothing_to_do(now):
    task = scheduled()
    assert len(task.backfill(NOON - HOUR, NOON)) == 60
    assert task.backfill(NOON - HOUR, NOON) == []
    assert task.to_backfill(NOON - 2 * HOUR, NOON)[-1] == NOON - HOUR - MINUTE
    assert len(task.backfill(NOON - HOUR, NOON, again=True)) == 60


def test_a_backfill_runs_no_moments_outside_the_window(now):
    task = scheduled(start_running=NOON + 2 * MINUTE, end_running=NOON + 4 * MINUTE)
    task.pause()
    now.moment = NOON + HOUR
    moments = [NOON + 2 * MINUTE, NOON + 3 * MINUTE]
    assert task.to_backfill(NOON - HOUR, NOON + HOUR) == moments
    assert [run.occurrence_at for run in task.backfill(NOON, NOON + HOUR, again=True)] == moments


@pytest.mark.parametrize("missed", Missed.values)
def test_what_a_heartbeat_has_yet_to_plan_is_not_backfilled_too(now, missed):
    task = scheduled(missed=missed)
    now.moment = NOON + 5 * MINUTE + SECOND
    runs = task.backfill(NOON - 2 * MINUTE, now.moment)
    tick("default", now.moment)
    runs += task.backfill(NOON - 2 * MINUTE, now.moment)
    planned = Run.objects.filter(state=RunState.QUEUED).exclude(due_at=None)
    moments = [run.occurrence_at for run in runs] + [run.due_at for run in planned]
    assert sorted(moments) == [NOON + n * MINUTE for n in range(-2, 6)]


def test_a_paused_task_is_backfilled_although_no_heartbeat_plans_it(now):
    task = scheduled()
    task.pause()
    now.moment = NOON + 5 * MINUTE
    assert len(task.backfill(NOON - MINUTE, now.moment)) == 6


@pytest.mark.parametrize(
    "submit", [Task.run_now, lambda task: task.backfill(NOON - HOUR, NOON)], ids=["now", "range"]
)
def test_an_unsaved_task_runs_nothing_and_breaks_no_transaction(now, submit):
    task = task_with_callable(jobs.noop)
    with transaction.atomic():
        with pytest.raises(ValueError, match=r"jobs\.noop' is not saved\. Call save\(\) first"):
            submit(task)
        assert not Run.objects.exists()


def test_a_backfill_can_be_previewed(now):
    task = scheduled("0 * * * *")
    assert task.to_backfill(NOON - 3 * HOUR, NOON) == [NOON - n * HOUR for n in (3, 2, 1)]
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("start", "end"), [(NOON, NOON), (NOON, NOON - DAY), (NOON - DAY, NOON + SECOND)]
)
def test_a_range_that_is_not_in_the_past_is_rejected(now, start, end):
    with pytest.raises(ValueError, match="both must be in the past"):
        scheduled().backfill(start, end)


def test_a_range_that_is_too_long_is_rejected_with_a_valid_end(now):
    task = scheduled()
    with pytest.raises(ValueError, match=r"more than 10,000 occurrences .* are before 2026-04-08"):
        task.backfill(NOON - 33 * DAY - 12 * HOUR, NOON)
    assert BACKFILL_LIMIT == 10_000
    assert not Run.objects.exists()


def test_naive_moments_are_rejected(now):
    with pytest.raises(ValueError, match="start must be an aware datetime"):
        scheduled().backfill((NOON - DAY).replace(tzinfo=None), NOON)


def test_pruned_occurrences_run_again_only_on_request(now):
    task, _ = failed_run(now)
    Task.objects.filter(pk=task.pk).update(pruned={"succeeded": 10})
    now.moment = NOON + 2 * MINUTE
    with pytest.raises(ValueError, match="before 2026-05-05 12:01"):
        task.backfill(NOON - HOUR, NOON + 2 * MINUTE)
    assert len(task.backfill(NOON + MINUTE, NOON + 2 * MINUTE)) == 1
    assert len(task.backfill(NOON - HOUR, NOON, again=True)) == 60


def test_a_task_whose_whole_history_was_pruned_is_backfilled_only_on_request(now):
    task = scheduled()
    Task.objects.filter(pk=task.pk).update(pruned={"succeeded": 10})
    with pytest.raises(ValueError, match=r"noop was pruned, so .* range\. Rerun all"):
        task.backfill(NOON - HOUR, NOON)
    assert len(task.backfill(NOON - HOUR, NOON, again=True)) == 60


def test_a_task_that_runs_once_has_nothing_to_backfill(now):
    task = Task.run_once(jobs.noop)
    with pytest.raises(ValueError, match="has no schedule"):
        task.backfill(NOON - HOUR, NOON)
