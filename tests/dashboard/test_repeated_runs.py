"""Whoever retries all failed runs retries each occurrence once."""

import pytest
from django.core.management import CommandError

from sisy.lifecycle.miss import missed_row
from sisy.models import Run, RunState
from sisy.reports.repeats import repeats_of
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of_superuser
from tests.commands.calling import said
from tests.roles.steps import finish
from tests.support.moments import HOUR, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/sisy/runs/matching/retry/?state=unsuccessful"


def executed(state):
    """Execute the queued runs, and return them as they are stored."""
    runs = claim(worker(), ["default"], 99, NOON)
    for run in runs:
        finish(run, NOON + SECOND, state)
    return list(Run.objects.filter(pk__in=[run.pk for run in runs]).order_by("pk"))


@pytest.fixture
def failed():
    task = scheduled("0 0 1 1 *", label="charge", overlap="allow")
    for _ in range(3):
        task.run_now()
    return executed(RunState.FAILED)


def pressed():
    """Press the button on the page, and return the runs that are queued now."""
    browser = browser_of_superuser()
    seen = browser.get(PAGE).content.decode().partition('name="seen" value="')[2]
    browser.post(PAGE, {"seen": seen.partition('"')[0], "confirm": "yes"})
    return Run.objects.queued()


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED])
def test_what_was_retried_is_left_out_and_a_failed_retry_is_not(failed, state):
    again = failed[0].retry()
    executed(state)
    text = text_of(browser_of_superuser().get(PAGE))
    expected = failed[1:] + ([again] if state == RunState.FAILED else [])
    assert f"Retry {len(expected)} runs?" in text
    assert "1 run was retried or backfilled already, and is left out." in text
    assert sorted(pressed().values_list("retry_of", flat=True)) == [run.pk for run in expected]


def test_a_second_press_retries_nothing(failed):
    assert pressed().count() == 3
    assert pressed().count() == 3
    text = text_of(browser_of_superuser().get(PAGE))
    assert "No matching runs can be retried." in text
    assert "3 runs were retried or backfilled already, and are left out." in text


def test_the_command_leaves_out_what_was_retried_unless_it_is_named(failed):
    failed[0].retry()
    executed(RunState.SUCCEEDED)
    said("sisy_runs retry --task charge --state failed --yes")
    retried = Run.objects.queued().values_list("retry_of", flat=True)
    assert sorted(retried) == [failed[1].pk, failed[2].pk]
    executed(RunState.SUCCEEDED)
    said(f"sisy_runs retry {failed[0].pk} --yes")
    assert Run.objects.queued().get().retry_of_id == failed[0].pk


@pytest.mark.parametrize(("state", "is_offered"), [("missed", False), ("failed", True)])
def test_only_lists_that_may_have_failed_runs_offer_to_retry_them(failed, state, is_offered):
    text = text_of(browser_of_superuser().get(f"/sisy/runs/?parts=list&state={state}&since=1h"))
    assert ("Retry all matching runs" in text) == is_offered


def test_one_run_is_retried_at_once_and_asks_if_it_was_repeated(failed):
    browser = browser_of_superuser()
    key = failed[0].pk
    browser.post("/sisy/runs/do/retry/", {"pk": key})
    [again] = executed(RunState.SUCCEEDED)
    text = text_of(browser.post("/sisy/runs/do/retry/", {"pk": key}))
    assert f"Run {key} was already rerun as run {again.pk} (succeeded)." in text
    with pytest.raises(CommandError, match=rf"^Run {key} was already rerun as run {again.pk}"):
        said(f"sisy_runs retry {key}")
    assert not Run.objects.queued().exists()
    said(f"sisy_runs retry {key} --yes")
    assert Run.objects.queued().count() == 1


def test_a_missed_occurrence_that_a_backfill_has_run_was_repeated():
    task = scheduled("0 * * * *", label="certificates")
    task.pause()
    gap = missed_row(task, NOON - 2 * HOUR, NOON - 2 * HOUR, 1, "Nothing was up.", NOON)
    gap.save()
    assert repeats_of("default", [gap]) == {}
    [backfilled] = task.backfill(NOON - 2 * HOUR, NOON - HOUR)
    assert repeats_of("default", [gap, backfilled]) == {gap.pk: backfilled}
    whole = missed_row(task, NOON - 2 * HOUR, NOON - HOUR, 2, "Nothing was up.", NOON)
    whole.due_at += SECOND
    whole.save()
    assert repeats_of("default", [whole]) == {}
