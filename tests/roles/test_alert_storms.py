"""Many alerts at once: one message to each channel, which misses none that it should get."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.alerting.text import text_of
from sisy.execution import Outcome
from sisy.models import Alert, RunState, Task, task_with_callable
from sisy.models.outbox import OutboxMessage
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.app import jobs
from tests.roles.watched import IDLE, Site
from tests.support.moments import SECOND

pytestmark = pytest.mark.django_db

NUMBER_OF_TASKS = 1000
STEP = 3
MAX_STATEMENTS = 150  # of a pass: neither its reads nor its writes grow with each alert


@pytest.fixture
def site(clocks, settings):
    settings.SISY_ENGINES = {}
    settings.SISY_ALERTS = {
        "all": "https://example.com/all",
        "last": {"to": "https://example.com/last", "tasks": ["last *"]},
        "gpu": {"to": "https://example.com/gpu", "queues": ["gpu"]},
    }
    return Site(clocks)


def tasks_of(number, label="task", **fields):
    Task.objects.bulk_create(
        task_with_callable(jobs.noop, label=f"{label} {n}", schedule=IDLE, **fields)
        for n in range(number)
    )
    return list(Task.objects.filter(label__startswith=f"{label} "))


def run_all(site, tasks, state=RunState.SUCCEEDED):
    """Let a run of each task start and end now, as a large fleet would."""
    for task in tasks:
        task.run_now()
    runs = claim(site.worker, ["default", "gpu"], len(tasks), site.now)
    assert len(runs) == len(tasks)
    error = "KeyError" if state == RunState.FAILED else ""
    ended = {"state": state, "finished_at": site.now, "error_class": error}
    outcomes = [(run, Outcome(started_at=run.started_at, **ended)) for run in runs]
    record("default", outcomes, site.now)


def messages(channel="all"):
    return list(OutboxMessage.objects.filter(channel=channel).order_by("pk"))


def notices(message):
    return message.payload["notices"]


def most_statements(site, seconds):
    """Let time pass, and return the most statements that a pass of a heartbeat executed."""
    most = 0
    for _ in range(seconds // STEP):
        for heartbeat in site.heartbeats:
            with CaptureQueriesContext(connection) as queries:
                heartbeat._pass()
            most = max(most, len(queries))
        site.clocks.go_on(STEP * SECOND)
    return most


def test_a_thousand_tasks_that_fail_together_are_two_messages(site):
    tasks = tasks_of(NUMBER_OF_TASKS)
    run_all(site, tasks, RunState.FAILED)
    assert most_statements(site, 90) <= MAX_STATEMENTS
    assert Alert.objects.open().count() == NUMBER_OF_TASKS
    [opened] = messages()
    assert len(notices(opened)) == NUMBER_OF_TASKS
    assert f"{NUMBER_OF_TASKS} alerts: failing {NUMBER_OF_TASKS}" in text_of(opened).subject
    run_all(site, tasks)
    assert most_statements(site, 90) <= MAX_STATEMENTS
    assert Alert.objects.open().count() == 0
    assert [message.event for message in messages()] == ["digest", "digest"]
    assert all(notice["ended_at"] for notice in notices(messages()[1]))
    assert messages("last") == messages("gpu") == []


@pytest.mark.parametrize("limit", ["expected_duration", "stalled_after"])
def test_runs_that_hang_cost_no_statement_each(site, limit):
    for task in tasks_of(60, **{limit: 10 * SECOND}):
        task.run_now()
    claim(site.worker, ["default"], 60, site.now)
    assert most_statements(site, 60) <= 60
    assert Alert.objects.open().count() == 60


def test_a_message_about_more_alerts_than_it_lists_counts_all_of_them(site, monkeypatch):
    monkeypatch.setattr("sisy.alerting.notifying.MAX_LISTED", 20)
    run_all(site, tasks_of(55), RunState.FAILED)
    site.later(100)
    [message] = messages()
    assert len(notices(message)) == 21
    text = text_of(message)
    assert "55 alerts: more alerts 35, failing 20" in text.subject
    assert "And 35 more alerts." in text.plain


def test_a_channel_gets_its_alerts_however_many_others_there_are(site, monkeypatch):
    monkeypatch.setattr("sisy.alerting.notifying.MAX_LISTED", 20)
    run_all(site, tasks_of(40), RunState.FAILED)
    run_all(site, [*tasks_of(2, "last"), *tasks_of(30, "on gpu", queue="gpu")], RunState.FAILED)
    site.later(100)
    [last], [gpu] = messages("last"), messages("gpu")
    assert [notice["what"] for notice in notices(last)] == ["last 0", "last 1"]
    assert "2 alerts: failing 2" in text_of(last).subject
    assert "30 alerts: failing 20, more alerts 10" in text_of(gpu).subject
    assert len(notices(messages()[0])) == 21
