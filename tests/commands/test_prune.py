"""A ledger that is to shrink now."""

import pytest
from django.core.management import CommandError

from sisy.models import Run, RunState
from tests.commands.calling import said, told
from tests.support.moments import DAY, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def ended(task, ago, state=RunState.SUCCEEDED):
    run = task.new_run(now=NOON - ago, state=state, finished_at=NOON - ago)
    run.save()
    return run


@pytest.fixture
def task():
    task = scheduled("@yearly")
    for days in (40, 5, 1):
        ended(task, days * DAY)
    task.run_now()
    return task


def test_history_older_than_the_settings_allow_is_deleted(task):
    assert "Deleted 1 run that finished before 2026-04-05." in said("sisy_prune")
    assert Run.objects.count() == 3
    assert task.counts()["succeeded"] == 2
    task.refresh_from_db()
    assert task.counts()["succeeded"] == 3


def test_other_days_can_be_given_and_queued_runs_are_kept(task):
    assert told("sisy_prune --days 2 --dry-run")["pruned"] == 2
    assert Run.objects.count() == 4
    would = said("sisy_prune --days 2 --dry-run")
    assert would == "Would delete 2 runs that finished before 2026-05-03.\n"
    assert told("sisy_prune --days 2")["pruned"] == 2
    assert told("sisy_prune --days 0")["pruned"] == 1
    assert [run.state for run in Run.objects.all()] == [RunState.QUEUED]


def test_many_are_deleted_in_batches(task, monkeypatch):
    monkeypatch.setattr("sisy.heartbeat.retention.PRUNE_BATCH", 2)
    Run.objects.all().delete()
    for _ in range(6):
        ended(task, 40 * DAY)
    assert told("sisy_prune")["pruned"] == 6


def test_if_history_is_kept_forever_days_must_be_given(task, settings):
    settings.SISY_HISTORY_DAYS = 0
    with pytest.raises(CommandError, match="Use --days"):
        said("sisy_prune")
    with pytest.raises(CommandError, match="Use 0 to 36500 days"):
        said("sisy_prune --days soon")
