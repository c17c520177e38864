"""A run that reports no progress for longer than its task allows is an alert."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.alerting.overruns import stalled_runs
from sisy.lifecycle.release import release_running
from sisy.models import Alert
from sisy.runtime.journal import Report
from sisy.runtime.progress import Progress
from sisy.store import run_output
from sisy.store.run_output import write_while_running
from sisy.worker.claim import claim
from tests.roles.watched import Site
from tests.support.moments import MINUTE, SECOND
from tests.support.records import worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(clocks, settings, monkeypatch):
    settings.SISY_ENGINES = {}
    settings.SISY_ALERTS = ["https://example.com/hook"]
    monkeypatch.setattr(run_output, "monotonic", lambda: 0.0)
    return Site(clocks)


def progress(site, run, done=1):
    """Report progress of a run now."""
    report = Report(progress=Progress(done, 10, "", 0.0))
    assert write_while_running("default", [(run, report)], site.now) == [run]


def once(what):
    return [("opened", [("stalled", what)]), ("recovered", [("stalled", what)])]


def test_a_run_without_progress_opens_one_alert_until_it_reports_again(site):
    run = site.start(site.idle_task(label="import", stalled_after=5 * MINUTE))
    site.later(240)
    progress(site, run)
    reported = site.now
    site.later(270)
    assert site.open_kinds() == []
    site.later(90)
    site.restart()
    site.later(60)
    assert site.told() == once("import")[:1]
    alert = Alert.objects.get()
    assert (alert.run_id, alert.since) == (run.pk, reported + 5 * MINUTE)
    assert f"sisy_runs show {run.pk}" in alert.fix
    progress(site, run, 2)
    site.later(60)
    assert site.told() == once("import")


def test_a_report_of_the_same_progress_counts(site):
    run = site.start(site.idle_task(stalled_after=MINUTE))
    for _ in range(4):
        site.later(45)
        progress(site, run)
    assert not Alert.objects.exists()


def test_a_run_that_has_never_reported_counts_from_its_start(site):
    site.later(30)
    run = site.start(site.idle_task(stalled_after=MINUTE))
    assert stalled_runs("default", site.now + 59 * SECOND) == {}
    found = stalled_runs("default", site.now + MINUTE)
    assert found == {run.task_id: (run.pk, run.started_at, MINUTE)}
    site.later(120)
    assert site.open_kinds() == ["stalled"]
    site.finish(run)
    site.later(60)
    assert site.open_kinds() == []


def test_the_progress_of_an_earlier_attempt_does_not_count(site):
    run = site.start(site.idle_task(stalled_after=MINUTE))
    progress(site, run)
    type(run).objects.filter(pk=run.pk).update(attempt=2, started_at=site.now + 30 * SECOND)
    assert stalled_runs("default", site.now + 80 * SECOND) == {}
    assert stalled_runs("default", site.now + 90 * SECOND).keys() == {run.task_id}


def test_the_progress_before_a_release_does_not_count(site):
    """Releasing a run refunds its attempt, so the next worker executes one of the same number."""
    run = site.start(site.idle_task(stalled_after=MINUTE))
    progress(site, run)
    release_running("default", [run], "Its worker stopped", site.now)
    later = site.now + 10 * MINUTE
    [again] = claim(worker(later), [run.queue], 1, later)
    assert again.attempt == run.attempt
    assert stalled_runs("default", later + 59 * SECOND) == {}
    assert stalled_runs("default", later + MINUTE).keys() == {run.task_id}


def test_runs_of_tasks_without_the_field_are_never_stalled(site):
    site.start(site.idle_task())
    with CaptureQueriesContext(connection) as queries:
        assert stalled_runs("default", site.now + 1000 * MINUTE) == {}
    assert len(queries) <= 2
    site.later(120)
    assert site.open_kinds() == []


def test_a_heartbeat_that_has_just_woken_up_does_not_judge(site):
    """While the host was suspended, its workers could not report anything."""
    run = site.start(site.idle_task(stalled_after=MINUTE))
    site.asleep(30 * MINUTE)
    site.later(20)
    assert site.open_kinds() == []
    progress(site, run)
    site.later(30)
    assert not Alert.objects.exists()
