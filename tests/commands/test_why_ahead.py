"""``sisy_tasks why`` about what is still to come, and about what came later than it was due."""

import pytest

from sisy.lifecycle.miss import missed_row
from sisy.models import Overlap, Process, Queue, Role, Task
from sisy.records.choices import STOPPED
from sisy.worker.claim import claim
from tests.commands.calling import said
from tests.roles.steps import finish
from tests.support.moments import DAY, HOUR, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("now")]

PAUSED = "he queue 'default' was paused by Sam at 2026-05-05 12:00:00 UTC (no mail)"


def why(*asked):
    quoted = " ".join(f"'{each}'" for each in asked)
    return said(f"sisy_tasks why {quoted}").strip()


def test_a_paused_queue_is_named_before_any_run_is_due():
    scheduled("0 15 * * *", label="tea")
    Queue.objects.pause("default", "no mail", by="Sam")
    assert why("tea") == (
        f"T{PAUSED}. The task has no runs yet. The next run is due at 2026-05-05 15:00:00 UTC."
    )


def test_a_pause_is_named_once_if_a_run_is_queued():
    run = scheduled("0 15 * * *", label="tea").run_now()
    Queue.objects.pause("default", "no mail", by="Sam")
    assert why("tea") == (
        f"Run {run.pk} has been queued since 2026-05-05 12:00:00 UTC: t{PAUSED}. The next run is "
        "due at 2026-05-05 15:00:00 UTC."
    )


def test_the_run_after_one_that_is_planned_ahead_is_named_as_the_next():
    task = scheduled("* * * * * *", label="tea")
    ahead = NOON + 2 * SECOND
    run = task.new_run(now=NOON, due_at=ahead, ready_at=ahead)
    run.save()
    assert why("tea") == (
        f"Run {run.pk} is due at 2026-05-05 12:00:02 UTC. The next run is due at 2026-05-05 "
        "12:00:03 UTC."
    )


@pytest.mark.parametrize(
    ("policy", "then"),
    [
        (Overlap.SKIP, "the new run will be skipped"),
        (
            Overlap.BUFFER_ONE,
            "the new run will be queued, or skipped if another run is already queued",
        ),
        (Overlap.BUFFER_ALL, "the new run will stay queued until the running one has ended"),
        (
            Overlap.CANCEL_OTHER,
            "the running one will be asked to stop, and the new run starts when it has stopped",
        ),
        (
            Overlap.TERMINATE_OTHER,
            "the running one will be terminated, and the new run starts when it has ended",
        ),
    ],
)
def test_a_moment_to_come_names_the_run_that_may_still_be_running(policy, then):
    task = scheduled("0 15 * * *", label="tea", overlap=policy)
    assert "still running" not in why("tea", "15:00")
    task.run_now()
    [run] = claim(worker(), ["default"], 1, NOON)
    assert why("tea", "15:00").startswith(
        f"It will run at this time. If run {run.pk} is still running then, {then}"
    )


def test_runs_that_may_overlap_are_no_obstacle_to_a_moment_to_come():
    scheduled("0 15 * * *", label="tea", overlap=Overlap.ALLOW).run_now()
    claim(worker(), ["default"], 1, NOON)
    assert "still running" not in why("tea", "15:00")


def test_a_moment_to_come_names_a_pause_unless_it_ends_before():
    scheduled("0 15 * * *", label="tea")
    Queue.objects.pause("default", "no mail", by="Sam")
    assert f"if its queue is resumed by then: t{PAUSED}." in why("tea", "15:00")
    Queue.objects.resume("default")
    Queue.objects.pause("default", until=NOON + HOUR)
    assert why("tea", "15:00").startswith("It will run at this time. The next run is due at")


def test_a_backfill_is_not_late_by_the_wait_for_its_slot():
    task = scheduled("0 9 * * *", label="tea")
    [run] = task.backfill(NOON - 4 * HOUR, NOON)
    [begun] = claim(worker(), ["default"], 1, NOON + SECOND)
    finish(begun, NOON + 2 * SECOND)
    text = why("tea", str(run.pk))
    assert "(2 s after it was ready)" in text
    assert "late" not in text


def test_what_was_missed_names_the_time_without_a_heartbeat():
    for start, end in ((NOON - DAY, NOON - 4 * HOUR), (NOON - HOUR, None)):
        process = Process.join(Role.HEARTBEAT, using="default", now=start, lease=HOUR)
        if end is not None:
            Process.objects.filter(pk=process.pk).update(
                ended_at=end, end_reason=STOPPED, lease_until=end
            )
    task = scheduled("0 * * * *", label="tea")
    reason = "No heartbeat planned the task in time."
    missed_row(task, NOON - 3 * HOUR, NOON - 2 * HOUR, 2, reason, NOON - HOUR).save()
    assert why("tea", "09:00") == (
        "This occurrence was missed, together with 1 other: No heartbeat was running from "
        "2026-05-05 08:00:00 to 11:00:00 UTC."
    )


def test_a_paused_task_says_so_even_for_a_time_before_it_was_changed():
    task = scheduled("0 * * * *", label="tea")
    Task.objects.filter(pk=task.pk).update(created_at=NOON - DAY)
    task.pause("no tea")
    assert why("tea", "09:00").endswith("Now the task is paused: no tea.")
