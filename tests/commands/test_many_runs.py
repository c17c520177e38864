"""More runs match than one call of sisy_runs changes: it says how to continue behind them."""

import pytest
from django.core.management import CommandError

from sisy.management import run_verbs
from sisy.models import Run, RunState
from tests.commands.calling import said, told
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def runs(monkeypatch):
    """Five runs, of which a call changes two."""
    monkeypatch.setattr(run_verbs, "MAX_LOOKED_AT", 2)
    task = scheduled("0 0 1 1 *", label="tea", overlap="allow")
    found = [task.new_run(now=NOON, due_at=NOON - n * MINUTE) for n in range(5)]
    for run in found:
        run.save()
    return [run.pk for run in found]


def test_runs_are_retried_once_each_although_they_still_match(runs):
    Run.objects.update(state=RunState.FAILED, started_at=NOON, finished_at=NOON)
    words = said("sisy_runs retry --task tea --yes")
    assert f"Submitted 2 retries. More runs match. To continue, add: --before {runs[3]}" in words
    answer = told(f"sisy_runs retry --task tea --yes --before {runs[3]}")
    assert (len(answer["submitted"]), answer["next_before"]) == (2, runs[1])
    answer = told(f"sisy_runs retry --task tea --yes --before {runs[1]}")
    assert (len(answer["submitted"]), answer["next_before"]) == (1, None)
    retried = Run.objects.filter(retry_of__isnull=False).values_list("retry_of", flat=True)
    assert sorted(retried) == runs


def test_runs_are_cancelled_part_by_part(runs):
    assert told("sisy_runs cancel --task tea --yes")["next_before"] == runs[3]
    assert told("sisy_runs cancel --task tea --yes")["cancelled"] == 2
    assert "More runs match" not in said("sisy_runs cancel --task tea --yes")


@pytest.mark.parametrize("chosen", ["", "{run}"])
def test_a_place_to_continue_is_no_filter(runs, chosen):
    with pytest.raises(CommandError) as refused:
        said(f"sisy_runs cancel --yes --before {runs[4]} {chosen.format(run=runs[0])}")
    assert refused.value.returncode == 2
    assert Run.objects.filter(state=RunState.QUEUED).count() == 5
