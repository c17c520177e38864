"""What becomes of runs that would begin beside another one of their task, by each policy.

The failures of the field: a task that is started beside itself when it takes longer than its
period, and one that piles up behind itself without end.
"""

import pytest

from sisy.heartbeat import tick
from sisy.lifecycle.release import TIME_TO_GO, release, release_running
from sisy.models import Missed, Overlap, Queue, Run, RunState, Task
from sisy.store import claims
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.steps import finish, states
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def at(minute):
    return NOON + minute * MINUTE


def claim_at(minute, limit=10):
    return claim(worker(at(minute)), ["default"], limit, at(minute))


def planned_every_minute(first, last):
    """Let a heartbeat plan what is due from one minute to another."""
    for minute in range(first, last + 1):
        tick("default", at(minute))


def going(**fields):
    """Return the run of a task that has begun at its first minute and still goes on."""
    scheduled(**fields)
    tick("default", at(1))
    [run] = claim_at(1)
    return run


def due_minutes(state):
    runs = Run.objects.filter(state=state).order_by("due_at")
    return [(due - NOON) / MINUTE for due in runs.values_list("due_at", flat=True)]


@pytest.mark.parametrize("policy", [one for one in Overlap if one != Overlap.ALLOW])
def test_a_handed_over_run_blocks_until_its_worker_is_gone(policy):
    """Nothing can end the thread of a worker that stops before its process does."""
    first = going(overlap=policy)
    planned_every_minute(2, 2)
    left = at(2)
    release_running("default", [first], "Its worker stopped", left)
    assert claim(worker(left), ["default"], 10, left + TIME_TO_GO - SECOND) == []
    later = left + TIME_TO_GO
    [again] = claim(worker(left), ["default"], 10, later)
    assert (again.attempt, again.started_at) == (1, later)
    assert Run.objects.running().count() == 1


def test_a_handed_over_run_blocks_however_many_others_are_queued(monkeypatch):
    monkeypatch.setattr(claims, "MAX_LIVE_RUNS", 3)
    Task.bulk_run_once(jobs.noop, [{"n": n} for n in range(10)], overlap=Overlap.BUFFER_ALL)
    [first] = claim_at(0)
    release_running("default", [first], "Its worker stopped", at(1))
    assert claim(worker(), ["default"], 1, at(1) + TIME_TO_GO - SECOND) == []
    [again] = claim(worker(), ["default"], 1, at(1) + TIME_TO_GO)
    assert again.pk == first.pk + 1


@pytest.mark.parametrize("policy", [Overlap.CANCEL_OTHER, Overlap.TERMINATE_OTHER])
def test_a_cancelled_handed_over_run_blocks_until_its_worker_is_gone(policy):
    """Else its successor began beside it: the thread goes on until its process has ended."""
    first = going(overlap=policy)
    tick("default", at(2))
    assert claim_at(2) == []
    left = at(2)
    release_running("default", [first], "Its worker stopped", left)
    first.process.leave(now=left)
    tick("default", left + TIME_TO_GO - SECOND)
    assert claim(worker(left), ["default"], 10, left + TIME_TO_GO - SECOND) == []
    later = left + TIME_TO_GO + SECOND
    tick("default", later)
    [successor] = claim(worker(left), ["default"], 10, later)
    first.refresh_from_db()
    assert (first.state, first.finished_at) == ("cancelled", later)
    assert first.reason == f"It was replaced by run {successor.pk} of the task."


def test_a_run_cancelled_after_its_handover_still_blocks():
    first = going(overlap=Overlap.BUFFER_ALL)
    tick("default", at(2))
    left = at(2)
    release_running("default", [first], "Its worker stopped", left)
    assert Run.objects.filter(pk=first.pk).cancel("enough", left + SECOND) == 1
    assert Run.objects.filter(pk=first.pk).cancel("enough", left + SECOND) == 0
    assert claim(worker(left), ["default"], 10, left + TIME_TO_GO - SECOND) == []
    later = left + TIME_TO_GO
    assert len(claim(worker(left), ["default"], 10, later)) == 1
    first.refresh_from_db()
    assert (first.state, first.reason) == ("cancelled", "enough")


def test_a_run_released_before_it_started_blocks_nothing():
    first = going(overlap=Overlap.BUFFER_ALL)
    planned_every_minute(2, 2)
    release("default", [first], "It was not begun", at(2))
    assert [run.pk for run in claim_at(2, limit=1)] == [first.pk]


def test_one_run_is_buffered_and_starts_once_the_other_has_ended():
    first = going(overlap=Overlap.BUFFER_ONE)
    planned_every_minute(2, 4)
    assert claim_at(4) == []
    assert states() == ["running", "queued", "skipped", "skipped"]
    second, third, _ = Run.objects.exclude(pk=first.pk).order_by("pk")
    assert third.blocked_by_id == first.pk
    assert third.reason.startswith(f"Run {first.pk} ")
    assert f"run {second.pk} " in third.reason
    finish(first, at(5))
    assert [run.pk for run in claim_at(5)] == [second.pk]


def test_all_runs_are_buffered_up_to_the_limit_and_start_oldest_first(settings):
    settings.SISY_BUFFER_LIMIT = 3
    first = going(overlap=Overlap.BUFFER_ALL)
    planned_every_minute(2, 6)
    assert claim_at(6) == []
    assert due_minutes("queued") == [2, 3, 4]
    assert due_minutes("skipped") == [5, 6]
    reasons = set(Run.objects.filter(state="skipped").values_list("reason", flat=True))
    [reason] = reasons
    assert reason.startswith(f"Run {first.pk} ")
    assert "limit of queued runs (3)" in reason
    begun = []
    finish(first, at(7))
    while runs := claim_at(7):
        begun += [(run.due_at - NOON) / MINUTE for run in runs]
        finish(*runs, at(7))
    assert begun == [2, 3, 4]


@pytest.mark.parametrize(
    ("policy", "by_force"), [(Overlap.CANCEL_OTHER, False), (Overlap.TERMINATE_OTHER, True)]
)
def test_a_newer_run_asks_the_running_one_to_end_and_waits_for_it(policy, by_force):
    first = going(overlap=policy)
    planned_every_minute(2, 3)
    assert claim_at(3) == []
    assert due_minutes("queued") == [3]
    assert due_minutes("skipped") == [2]
    first.refresh_from_db()
    newest = Run.objects.get(state="queued")
    assert (first.state, first.cancel_force) == ("running", by_force)
    assert first.cancel_reason == f"It was replaced by run {newest.pk} of the task."
    finish(first, at(4), state=RunState.CANCELLED)
    assert [run.pk for run in claim_at(4)] == [newest.pk]


def test_a_run_is_asked_to_end_once():
    first = going(overlap=Overlap.CANCEL_OTHER)
    planned_every_minute(2, 2)
    claim_at(2)
    first.refresh_from_db()
    asked_at = first.cancel_requested_at
    planned_every_minute(3, 3)
    claim_at(3)
    first.refresh_from_db()
    assert first.cancel_requested_at == asked_at == at(2)


@pytest.mark.parametrize("policy", [value for value in Overlap if value != Overlap.ALLOW])
def test_if_nothing_is_running_the_oldest_starts_under_any_policy(policy):
    scheduled(overlap=policy)
    planned_every_minute(1, 4)
    [run] = claim_at(4)
    assert run.due_at == at(1)


@pytest.mark.parametrize("policy", [value for value in Overlap if value != Overlap.ALLOW])
def test_caught_up_runs_run_one_by_one_under_any_policy(policy):
    scheduled("0 * * * *", overlap=policy, missed=Missed.ALL)
    tick("default", NOON + 5 * HOUR)
    begun = []
    while runs := claim_at(300):
        begun += [(run.due_at - NOON) / HOUR for run in runs]
        assert not Run.objects.exclude(cancel_requested_at=None).exists()
        finish(*runs, at(300))
    assert begun == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("policy", [value for value in Overlap if value != Overlap.ALLOW])
def test_retries_that_people_submit_run_one_by_one_under_any_policy(policy):
    task = scheduled(overlap=policy)
    failed = []
    for minute in (1, 2, 3):
        tick("default", at(minute))
        failed += claim_at(minute)
        finish(failed[-1], at(minute), RunState.FAILED)
    for run in failed:
        run.refresh_from_db()
        run.retry()
    begun = []
    while runs := claim_at(3):
        begun += [run.retry_of_id for run in runs]
        finish(*runs, at(3))
    assert begun == [run.pk for run in failed]
    assert not task.runs.filter(state="skipped").exists()


def test_an_edit_of_the_policy_affects_queued_runs():
    first = going(overlap=Overlap.BUFFER_ALL)
    planned_every_minute(2, 4)
    claim_at(4)
    assert due_minutes("queued") == [2, 3, 4]
    first.task.overlap = Overlap.BUFFER_ONE
    first.task.save()
    claim_at(4)
    assert due_minutes("queued") == [2]
    first.task.overlap = Overlap.ALLOW
    first.task.save()
    assert len(claim_at(4)) == 1
    assert due_minutes("running") == [1, 2]


def test_an_unknown_policy_skips_and_stops_no_other_task():
    task = scheduled("0 0 1 1 *")
    Task.objects.filter(pk=task.pk).update(overlap="skips")
    runs = [task.run_now(), task.run_now(), scheduled("0 0 1 1 *").run_now()]
    assert [run.pk for run in claim_at(1)] == [runs[0].pk, runs[2].pk]
    assert states() == ["running", "skipped", "running"]


def test_a_buffered_run_keeps_no_slot_from_other_tasks():
    going(overlap=Overlap.BUFFER_ALL, priority=9)
    planned_every_minute(2, 4)
    other = scheduled("0 0 1 1 *").run_now()
    assert [run.pk for run in claim_at(4, limit=1)] == [other.pk]


def test_a_run_blocked_by_another_queue_stays_queued():
    first = going(overlap=Overlap.BUFFER_ONE)
    first.task.queue = "other"
    first.task.save()
    planned_every_minute(2, 2)
    assert claim(worker(), ["other"], 10, at(2)) == []
    finish(first, at(3))
    assert len(claim(worker(), ["other"], 10, at(3))) == 1


def test_no_worker_takes_runs_from_a_queue_that_is_paused():
    run = scheduled("0 0 1 1 *").run_now()
    other = scheduled("0 0 1 1 *", queue="other").run_now()
    assert Queue.objects.pause("default", "the mail server is down")
    assert not Queue.objects.pause("default")
    assert [one.pk for one in claim(worker(), ["default", "other"], 10, NOON)] == [other.pk]
    assert Queue.objects.get().pause_reason == "the mail server is down"
    assert Queue.objects.resume("default")
    assert not Queue.objects.resume("default")
    assert [one.pk for one in claim_at(0)] == [run.pk]


def test_a_queue_that_cannot_exist_is_not_paused():
    with pytest.raises(ValueError, match="1 to 60 ASCII letters"):
        Queue.objects.pause("the mails")
