"""What becomes of the runs that one call of `bulk_run_once` submits, by the policy `overlap`."""

import pytest

from sisy.models import Overlap, Run, Task
from sisy.worker.claim import claim
from tests.roles.steps import finish
from tests.support.moments import MINUTE, NOON
from tests.support.records import worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

TARGET = "tests.unit.functions.begins"


def submitted(count, **policies):
    return Task.bulk_run_once(TARGET, [{"number": n} for n in range(count)], **policies)


def claimed_at(minute):
    now = NOON + minute * MINUTE
    return claim(worker(now), ["default"], 10, now)


def numbers_of_all_runs_in_turn(first_minute):
    """Execute what a worker claims until nothing is left, and return the numbers in order."""
    numbers = []
    minute = first_minute
    while runs := claimed_at(minute):
        numbers += [run.payload["number"] for run in runs]
        assert len(runs) == 1
        # While it runs, long after the submission, a worker with free slots decides again.
        assert claimed_at(minute + 1) == []
        finish(*runs, NOON + (minute + 1) * MINUTE)
        minute += 2
    return numbers


def test_buffer_all_runs_each_of_them_in_turn_whatever_the_limit_of_queued_runs(settings):
    settings.SISY_BUFFER_LIMIT = 3
    task = submitted(8, overlap=Overlap.BUFFER_ALL)
    assert numbers_of_all_runs_in_turn(first_minute=1) == list(range(8))
    assert not Run.objects.filter(state="skipped").exists()
    assert set(Run.objects.filter(task_id=task.pk).values_list("state", flat=True)) <= {
        "succeeded"
    }


def test_a_retry_of_one_of_them_is_queued_although_more_than_the_limit_are(settings):
    settings.SISY_BUFFER_LIMIT = 3
    submitted(8, overlap=Overlap.BUFFER_ALL)
    [first] = claimed_at(1)
    finish(first, NOON + MINUTE)
    first.refresh_from_db()
    again = first.retry()
    assert len(claimed_at(2)) == 1
    assert claimed_at(3) == []
    again.refresh_from_db()
    assert again.state == "queued"


def test_other_overlap_policies_apply_among_runs_of_a_bulk():
    submitted(4, overlap=Overlap.SKIP)
    assert len(claimed_at(1)) == 1
    assert claimed_at(2) == []
    assert Run.objects.filter(state="skipped").count() == 3
