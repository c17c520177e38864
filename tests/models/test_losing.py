"""What becomes of runs whose worker died, and what the ledger says of it."""

import pytest
from django.db import transaction

from sisy.lifecycle.lose import lose as lose_rows
from sisy.models import Attempt, OnLost, Run, RunState, Task
from sisy.worker.claim import claim
from tests.support.moments import NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

LATER = NOON + 10 * SECOND
DIED = "The worker 1@host died (killed by SIGKILL)"


def in_hand(**fields):
    """Return a run that a worker carries out."""
    scheduled("0 * * * *", **fields).run_now()
    [run] = claim(worker(), ["default"], 1, NOON)
    return run


def lose(*runs):
    with transaction.atomic():
        pks = Run.objects.filter(pk__in=[run.pk for run in runs]).lock()
        return lose_rows(Run.objects.filter(pk__in=pks), DIED, LATER)


def test_a_lost_run_is_queued_again_and_its_attempt_is_kept():
    run = in_hand()
    again, ended = lose(run)
    assert ([found.pk for found in again], ended) == ([run.pk], [])
    row = stored(run)
    assert (row.state, row.times_lost, row.process, row.started_at) == ("queued", 1, None, None)
    assert row.reason == f"{DIED}; the run was queued again."
    [attempt] = row.attempts.all()
    assert (attempt.number, attempt.state, attempt.reason) == (1, RunState.LOST, f"{DIED}.")
    assert (attempt.started_at, attempt.finished_at) == (NOON, LATER)
    assert attempt.worker_name == str(run.process)
    assert stored(run).worker_name == ""


def test_each_lost_attempt_is_kept_and_at_the_limit_the_run_itself_is_lost(settings):
    """A poison run must not kill every worker; a person must see what it did."""
    settings.SISY_LOST_LIMIT = 3
    run = in_hand()
    for _ in range(3):
        lose(run)
        [run] = claim(worker(), ["default"], 1, LATER)
    lose(run)
    row = stored(run)
    assert (row.state, row.finished_at) == (RunState.LOST, LATER)
    assert (
        row.reason == f"{DIED}; the run was lost 4 times, more often than SISY_LOST_LIMIT allows."
    )
    assert list(row.attempts.values_list("number", flat=True)) == [1, 2, 3]


def test_a_run_that_must_not_repeat_is_lost_with_the_reason():
    run = in_hand(on_lost=OnLost.FAIL)
    again, ended = lose(run)
    assert (again, [found.pk for found in ended]) == ([], [run.pk])
    assert stored(run).reason == f'{DIED}; the run is not rerun (on_lost="fail").'
    assert not Attempt.objects.exists()


def test_the_run_of_a_deleted_task_is_not_run_again():
    run = in_hand()
    Task.objects.all().delete()
    lose(run)
    assert stored(run).state == RunState.LOST
    assert stored(run).reason.endswith("the run is not rerun, because its task was deleted.")


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("Cancelled by ann.", ". Cancelled by ann."),
        ("not today", "; not today."),
        ("", "; its cancellation had already been requested."),
    ],
)
def test_a_lost_run_that_was_asked_to_stop_is_cancelled(reason, end):
    run = in_hand()
    Run.objects.filter(pk=run.pk).update(cancel_requested_at=NOON, cancel_reason=reason)
    lose(run)
    assert (stored(run).state, stored(run).reason) == (RunState.CANCELLED, f"{DIED}{end}")


def test_runs_with_different_outcomes_are_settled_together():
    runs = [in_hand(), in_hand(on_lost=OnLost.FAIL), in_hand()]
    again, ended = lose(*runs)
    assert {run.pk for run in again} == {runs[0].pk, runs[2].pk}
    assert [run.pk for run in ended] == [runs[1].pk]


def test_a_run_that_ended_in_the_meantime_is_left_alone():
    run = in_hand()
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED, finished_at=NOON)
    assert lose(run) == ([], [])
    assert (stored(run).state, stored(run).times_lost) == (RunState.SUCCEEDED, 0)


def test_a_long_reason_is_truncated_before_the_consequence():
    run = in_hand()
    with transaction.atomic():
        lose_rows(Run.objects.filter(pk=run.pk), "x" * 600, LATER)
    assert len(stored(run).reason) == 500
    assert stored(run).reason.endswith("x; the run was queued again.")
