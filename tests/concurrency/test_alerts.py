"""Several heartbeats that judge and notify at the same moment."""

from contextlib import contextmanager
from functools import partial

import pytest

from sisy import signals
from sisy.alerting import opening
from sisy.alerting.failures import judge_failures, over_of_tasks
from sisy.alerting.judge import Judge
from sisy.alerting.notifying import notify
from sisy.alerting.opening import close_alerts, open_alerts
from sisy.alerting.problem import Problem, of_task
from sisy.models import Alert, RunState
from sisy.models.outbox import OutboxMessage
from sisy.records.problems import Kind
from sisy.worker.claim import claim
from tests.concurrency.threads import at_once
from tests.roles.steps import finish
from tests.support.moments import HOUR, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

HEARTBEATS = 4


@pytest.fixture(autouse=True)
def channel(settings):
    settings.SISY_ALERTS = ["https://example.com/hook"]


@pytest.fixture
def heard():
    """Return a list of what receivers get: the name of the signal, and the alert."""
    news = []

    def opened(sender, alert, **kwargs):
        news.append(("opened", alert))

    def closed(sender, alert, **kwargs):
        news.append(("closed", alert))

    with connected(signals.alert_opened, opened), connected(signals.alert_closed, closed):
        yield news


@contextmanager
def connected(signal, receiver):
    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


def problems(*numbers):
    return [
        Problem(
            kind=Kind.FAILING,
            subject=of_task(number),
            since=NOON,
            why="The latest run failed.",
            task=number,
            evidence=number,
        )
        for number in numbers
    ]


def by_all(step, *args):
    return at_once(*(partial(step, *args) for _ in range(HEARTBEATS)))


def test_heartbeats_that_find_the_same_problems_open_each_once():
    found = [problems(*order) for order in ((1, 2, 3), (3, 2, 1), (2, 3, 1), (1, 3, 2))]
    at_once(*(partial(open_alerts, "default", each, NOON) for each in found))
    assert sorted(Alert.objects.open().values_list("task_id", flat=True)) == [1, 2, 3]


def test_heartbeats_that_tell_together_store_each_message_once():
    open_alerts("default", problems(1, 2, 3), NOON)
    by_all(notify, "default", NOON + 11 * SECOND)
    assert OutboxMessage.objects.count() == 3
    alerts = [(alert, "It is over.") for alert in Alert.objects.open()]
    by_all(close_alerts, "default", alerts, NOON + 20 * SECOND)
    by_all(notify, "default", NOON + 21 * SECOND)
    assert sorted(OutboxMessage.objects.values_list("event", flat=True)) == [
        *["opened"] * 3,
        *["recovered"] * 3,
    ]


def test_heartbeats_that_tell_of_many_together_store_one_message():
    open_alerts("default", problems(*range(1, 31)), NOON)
    by_all(notify, "default", NOON + HOUR)
    assert OutboxMessage.objects.get().event == "digest"


def test_heartbeats_that_reopen_an_alert_together_do_it_once():
    open_alerts("default", problems(1), NOON)
    close_alerts("default", [(Alert.objects.get(), "It is over.")], NOON + 5 * SECOND)
    by_all(open_alerts, "default", problems(1), NOON + 10 * SECOND)
    alert = Alert.objects.get()
    assert (alert.is_open, alert.reopened) == (True, 1)


def test_heartbeats_that_judge_the_same_runs_together_open_one_alert():
    scheduled("0 0 1 1 *").run_now()
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED)
    judges = [Judge("default") for _ in range(HEARTBEATS)]
    at_once(*(partial(judge.go_on, NOON, may_judge=True) for judge in judges))
    assert Alert.objects.get().kind == Kind.FAILING


@pytest.mark.parametrize("attempt", range(5))
def test_a_failure_that_is_judged_while_its_alert_closes_has_an_open_alert(attempt):
    task = scheduled("0 0 1 1 *")
    process = worker()

    def end(state):
        task.run_now()
        [run] = claim(process, ["default"], 1, NOON)
        finish(run, NOON, state)

    end(RunState.FAILED)
    judge_failures("default", NOON)
    end(RunState.SUCCEEDED)
    over = list(over_of_tasks("default", list(Alert.objects.open()), NOON))
    end(RunState.FAILED)
    at_once(
        partial(close_alerts, "default", over, NOON + SECOND),
        partial(judge_failures, "default", NOON + SECOND),
    )
    assert Alert.objects.get().is_open


def test_heartbeats_send_one_signal_for_each_opening_and_closing(heard):
    by_all(open_alerts, "default", problems(1, 2), NOON)
    assert sorted((what, alert.task_id) for what, alert in heard) == [("opened", 1), ("opened", 2)]
    alerts = [(alert, "It is over.") for alert in Alert.objects.open()]
    by_all(close_alerts, "default", alerts, NOON + 5 * SECOND)
    assert sorted((what, alert.task_id) for what, alert in heard[2:]) == [
        ("closed", 1),
        ("closed", 2),
    ]
    assert {alert.close_reason for _, alert in heard[2:]} == {"It is over."}
    by_all(open_alerts, "default", problems(2), NOON + 10 * SECOND)
    [(what, alert)] = heard[4:]
    assert (what, alert.task_id, alert.reopened) == ("opened", 2, 1)


def test_a_heartbeat_sends_no_signal_for_alerts_that_another_has_opened(heard, monkeypatch):
    def late(using, alerts):
        # Another heartbeat commits between the look and the insertion.
        monkeypatch.undo()
        open_alerts(using, problems(1, 2), NOON)
        return create(using, alerts)

    create = opening._create
    monkeypatch.setattr(opening, "_create", late)
    assert open_alerts("default", problems(2, 3), NOON) == 1
    told = [(what, alert.task_id) for what, alert in heard]
    assert sorted(told) == [("opened", 1), ("opened", 2), ("opened", 3)]


def test_an_alert_that_a_person_closes_sends_a_signal(heard):
    open_alerts("default", problems(1), NOON)
    assert Alert.objects.close("ann", NOON + SECOND) == 1
    assert Alert.objects.close("bob", NOON + SECOND) == 0
    [_, (what, alert)] = heard
    assert (what, alert.closed_by, alert.is_open) == ("closed", "ann", False)


def test_alerts_open_and_close_whatever_receivers_do(heard):
    def exits(sender, alert, **kwargs):
        raise SystemExit

    with connected(signals.alert_opened, exits), connected(signals.alert_closed, exits):
        open_alerts("default", problems(1), NOON)
        close_alerts("default", [(Alert.objects.get(), "It is over.")], NOON + SECOND)
    assert [what for what, _ in heard] == ["opened", "closed"]
    assert not Alert.objects.get().is_open
