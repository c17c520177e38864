"""The entry of each run of a batch has the run's own values, shared by all of them or not."""

import pytest

from sisy.models import Run, RunState
from sisy.records.small_tables import QueuedRun, TroubledRun
from sisy.store.submissions import insert_runs
from tests.support import small_tables
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

MISSED = {"state": RunState.MISSED, "reason": "late", "finished_at": NOON}
BATCHES = {
    "nothing differs": [{}, {}, {}],
    "data differ": [{"payload": {"n": 1}}, {"payload": {"n": 2}}],
    "queues differ": [{"queue": "slow"}, {}, {"queue": "it's 100 %s"}],
    "priorities differ": [{"priority": 3}, {"priority": -3}],
    "moments differ": [{"ready_at": NOON + MINUTE}, {}, {"planned_at": NOON - MINUTE}],
    "all are delayed": [{"ready_at": NOON + MINUTE}] * 2,
    "all are of an engine": [{"engine": "other"}] * 2,
    "all were missed": [MISSED] * 2,
    "some were missed": [MISSED, {}, {**MISSED, "finished_at": NOON - MINUTE}],
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("tasks", [1, 2])
def test_entries_have_the_values_of_their_runs(batch, tasks):
    owners = [scheduled(label=f"task {n}") for n in range(tasks)]
    runs = [task.new_run(now=NOON, **columns) for columns in batch for task in owners]
    insert_runs("default", runs)
    queued = [run for run in runs if run.state == RunState.QUEUED]
    assert QueuedRun.objects.count() == len(queued)
    assert TroubledRun.objects.count() == len(runs) - len(queued)
    assert Run.objects.count() == len(runs)
    assert small_tables.disagreements() == []
