"""When a worker looks whether its runs were cancelled."""

import pytest

from sisy.models import Run, RunState, Task
from sisy.worker.cancellation import CancellationWatcher
from tests.app import jobs
from tests.app.models import Execution
from tests.roles.at_work import at_work, wait_until
from tests.support.records import stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def seldom(settings):
    """Let a worker look once a minute by itself."""
    settings.SISY_POLL_INTERVAL = 60


def test_short_runs_end_before_a_worker_looks_at_them_again(monkeypatch):
    looks = []
    held = CancellationWatcher._held
    monkeypatch.setattr(
        CancellationWatcher, "_held", lambda self, runs: looks.append(runs) or held(self, runs)
    )
    with at_work():
        for _ in range(3):
            Task.bulk_run_once(jobs.noop, [{"n": n} for n in range(40)])
            wait_until(lambda: not Run.objects.live().exists())
    assert Run.objects.filter(state=RunState.SUCCEEDED).count() == 120
    assert not looks


def test_a_request_is_seen_at_once():
    with at_work():
        run = Run.objects.get(task=Task.run_once(jobs.goes_on_until_asked))
        wait_until(Execution.objects.filter(run=run.pk).exists)
        run.cancel("the disk is full")
        wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists())
    assert stored(run).state == RunState.CANCELLED
