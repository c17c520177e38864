"""What ends badly while an alert is open keeps it open, or opens one of its own."""

import pytest

from sisy.alerting.failures import judge_failures, over_of_tasks
from sisy.alerting.opening import close_alerts
from sisy.models import Alert, Run, RunState, Task
from sisy.worker.claim import claim
from tests.app import jobs
from tests.support.moments import MINUTE

pytestmark = pytest.mark.django_db


def test_an_alert_stays_open_if_another_heartbeat_judges_a_failure_first(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    site.run(task)
    over = list(over_of_tasks("default", list(Alert.objects.open()), site.now))
    assert len(over) == 1
    site.fail(task)
    judge_failures("default", site.now)
    assert close_alerts("default", over, site.now) == 0
    assert site.open_kinds() == ["failing"]


def test_an_alert_stays_open_for_occurrences_that_are_missed_later(site):
    task = Task.run_iterations(jobs.noop, label="report", schedule="* * * * *", iterations=10_000)
    site.later(70)
    site.asleep(10 * MINUTE)
    site.later(60)
    [first] = Alert.objects.filter(kind="missed")
    for run in claim(site.worker, ["default"], 10, site.now):
        if run.task_id == task.pk:
            site.finish(run)
    site.asleep(10 * MINUTE)
    site.later(70)
    assert "missed" in site.open_kinds()
    assert Alert.objects.get(kind="missed").evidence > first.evidence


def test_a_failure_after_a_missing_function_is_back_opens_an_alert(site):
    task = site.idle_task(label="clean")
    site.run(task, RunState.FAILED, reason="ImportError: no module", target_is_broken=True)
    site.later(45)
    assert site.open_kinds() == ["broken"]
    site.fail(task)
    site.later(45)
    assert site.open_kinds() == ["failing"]


def test_a_function_has_one_alert_whether_its_runs_fail_or_are_lost(site):
    for state in (RunState.FAILED, RunState.LOST):
        Task.run_once(jobs.noop)
        [run] = claim(site.worker, ["default"], 1, site.now)
        site.finish(run, RunState.FAILED)
        Run.objects.filter(pk=run.pk).update(state=state)
        site.later(35)
    assert site.open_kinds() == ["failing"]


def test_missed_occurrences_of_a_deleted_task_are_not_failures(site):
    task = Task.run_iterations(jobs.noop, label="report", schedule="* * * * *", iterations=10_000)
    site.later(70)
    site.asleep(10 * MINUTE)
    for heartbeat in site.heartbeats:
        heartbeat._judge.next_at = site.now + MINUTE
    site.later(5)
    task.delete()
    site.later(90)
    assert site.open_kinds() == []
