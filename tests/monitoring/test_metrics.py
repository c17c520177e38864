"""The view ``metrics`` shows the state of a site, and what its processes have counted."""

import sys

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from sisy.models import Alert, OutboxMessage, Process, Queue, Role, Task
from sisy.monitoring import counting
from sisy.monitoring.collector import SisyCollector
from sisy.records.problems import Kind, severity_of
from sisy.store import gauges
from sisy.worker.claim import claim
from tests.app import jobs
from tests.monitoring.asking import TOKEN, ask
from tests.monitoring.test_counting import execute
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("noon"),
]

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
PAUSED = "0 0 1 1 *"


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SISY_MONITORING_TOKEN = TOKEN
    counting.forget()
    yield
    counting.forget()


def up(*queues, role=Role.WORKER, slots=4, lease=30 * SECOND, **columns):
    process = Process.join(
        role, using="default", now=NOON, lease=lease, queues=queues, slots=slots
    )
    Process.objects.filter(pk=process.pk).update(**columns) if columns else None
    return process


def scrape(accept=OPEN_METRICS):
    """Return the samples of a scrape: the value by the name and the labels."""
    answer = ask("metrics", accept=accept)
    assert answer.status_code == 200, answer.content
    parse = open_metrics if "openmetrics" in answer.headers["Content-Type"] else prometheus_text
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for family in parse(answer.content.decode())
        for sample in family.samples
    }


def of_queue(name, queue="default", engine="sisy"):
    return (f"sisy_queue_{name}", f"engine={engine}", f"queue={queue}")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        (OPEN_METRICS, "application/openmetrics-text"),
        (f"{OPEN_METRICS},text/plain;version=0.0.4;q=0.5", "application/openmetrics-text"),
    ],
)
def test_the_client_chooses_the_format(accept, kind):
    answer = ask("metrics", accept=accept)
    assert answer.headers["Content-Type"].startswith(kind)
    assert "sisy_processes" in answer.content.decode()


def test_a_queue_shows_its_ready_runs_and_how_long_the_oldest_waits(noon):
    task = scheduled(PAUSED, overlap="allow", queue="mail")
    task.run_now()
    noon.moment = NOON + MINUTE
    task.run_now()
    Task.run_once(jobs.noop, delay_until=NOON + HOUR, queue="mail", label="later")
    noon.moment = NOON + 3 * MINUTE
    found = scrape()
    assert found[of_queue("ready_runs", "mail")] == 2
    assert found[of_queue("oldest_ready_seconds", "mail")] == 180
    assert found[of_queue("running_runs", "mail")] == 0
    claim(worker(noon.moment), ["mail"], 1, noon.moment)
    found = scrape()
    assert found[of_queue("ready_runs", "mail")] == 1
    assert found[of_queue("oldest_ready_seconds", "mail")] == 120
    assert found[of_queue("running_runs", "mail")] == 1


def test_the_runs_of_all_priorities_and_engines_are_counted(noon):
    for priority in (-5, 0, 5):
        scheduled(PAUSED, priority=priority).run_now()
    scheduled(PAUSED, engine="some day").run_now()
    noon.moment = NOON + MINUTE
    found = scrape()
    assert found[of_queue("ready_runs")] == 3
    assert found[of_queue("oldest_ready_seconds")] == 60
    assert found[of_queue("ready_runs", engine="forgetful")] == 1


def test_ready_runs_are_counted_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(gauges, "MAX_COUNTED", 3)
    task = scheduled(PAUSED, overlap="allow")
    for _ in range(5):
        task.run_now()
    assert scrape()[of_queue("ready_runs")] == 3


def test_slots_are_those_of_workers_that_start_runs():
    up("default", "mail", slots=4)
    up("mail", slots=2)
    up("mail", slots=8, drain_requested_at=NOON)
    up("mail", slots=16, problem="Cannot start a thread.")
    up("mail", slots=32, lease=-SECOND)
    up(role=Role.HEARTBEAT, slots=0)
    found = scrape()
    assert (found[of_queue("slots")], found[of_queue("slots", "mail")]) == (4, 6)
    assert found["sisy_slots",] == 6
    assert found["sisy_processes", "role=worker"] == 4
    assert found["sisy_processes", "role=heartbeat"] == 1
    assert found["sisy_leases_expired",] == 1
    renewed = found["sisy_lease_renewed_timestamp_seconds", "role=heartbeat"]
    assert renewed == NOON.timestamp()


def test_a_site_without_processes_says_so():
    found = scrape()
    assert (found["sisy_processes", "role=heartbeat"], found["sisy_slots",]) == (0, 0)
    assert found["sisy_planning_overdue_seconds",] == 0


def test_a_paused_queue_is_marked():
    up("default", "mail")
    Queue.objects.pause("mail")
    found = scrape()
    assert (found[of_queue("paused", "mail")], found[of_queue("paused")]) == (1, 0)


def test_a_task_that_no_heartbeat_plans_is_overdue(noon):
    scheduled()
    noon.moment = NOON + 5 * MINUTE
    assert scrape()["sisy_planning_overdue_seconds",] == 4 * 60


def test_counters_and_histograms_show_what_processes_have_counted(settings):
    settings.SISY_METRICS_TASKS = ["tea"]
    execute(3, queue="mail")
    counting.flush("default")
    found = scrape()
    assert found["sisy_runs_total", "outcome=succeeded", "queue=mail"] == 3
    assert found["sisy_run_reasons_total", "outcome=succeeded", "queue=mail", "reason="] == 3
    assert found["sisy_run_lateness_seconds_bucket", "le=0.5", "queue=mail"] == 0
    assert found["sisy_run_lateness_seconds_bucket", "le=1.0", "queue=mail"] == 3
    assert found["sisy_run_duration_seconds_bucket", "le=+Inf", "queue=mail"] == 3
    assert found["sisy_run_duration_seconds_count", "queue=mail"] == 3
    assert found["sisy_run_duration_seconds_sum", "queue=mail"] == 180
    assert found["sisy_task_runs_total", "outcome=succeeded", "task=tea"] == 3
    assert found["sisy_task_duration_seconds_count", "task=tea"] == 3
    settings.SISY_METRICS_TASKS = []
    assert ("sisy_task_duration_seconds_count", "task=tea") not in scrape()


def test_each_queue_has_all_outcomes_before_they_happen():
    scheduled(PAUSED, queue="mail").run_now()
    found = scrape()
    outcomes = {key: value for key, value in found.items() if key[0] == "sisy_runs_total"}
    assert len(outcomes) == 7
    assert set(outcomes.values()) == {0}


def test_labels_are_escaped_in_both_formats(settings):
    settings.SISY_METRICS_TASKS = ["*"]
    hostile = 'a"} 1 sisy_fake_total{x="\\n\\'
    execute(1, label=hostile)
    counting.flush("default")
    for accept in ("", OPEN_METRICS):
        found = scrape(accept)
        assert found["sisy_task_runs_total", "outcome=succeeded", f"task={hostile}"] == 1
        assert not any(name.startswith("sisy_fake") for name, *_ in found)


def test_the_outbox_and_open_alerts_are_counted(noon):
    waiting = {"channel": "email", "event": "opened", "created_at": NOON}
    OutboxMessage.objects.create(key="a", next_attempt_at=NOON, **waiting)
    OutboxMessage.objects.create(key="b", failed_at=NOON, **waiting)
    OutboxMessage.objects.create(key="c", sent_at=NOON, **waiting)
    kind = Kind.NO_HEARTBEAT
    alert = {"kind": kind, "subject": "fleet", "since": NOON, "opened_at": NOON}
    Alert.objects.create(open_key="no_heartbeat fleet", **alert)
    Alert.objects.create(open_key=None, closed_at=NOON, **alert)
    noon.moment = NOON + MINUTE
    found = scrape()
    assert found["sisy_outbox_messages", "state=queued"] == 1
    assert found["sisy_outbox_messages", "state=failed"] == 1
    assert found["sisy_outbox_oldest_seconds",] == 60
    open_ = "sisy_alerts_open"
    assert found[open_, f"kind={kind}", f"severity={severity_of(kind)}"] == 1
    assert sum(value for (name, *_), value in found.items() if name == open_) == 1


def test_a_scrape_takes_three_statements_however_much_there_is(settings):
    settings.SISY_METRICS_TASKS = ["*"]
    for queue in ("a", "b", "c"):
        task = execute(2, queue=queue, label=queue)
        for priority in (1, 2):
            scheduled(PAUSED, queue=queue, priority=priority, label=task.label).run_now()
    counting.flush("default")
    up("a", "b", "c")
    with CaptureQueriesContext(connection) as queries:
        scrape()
    statements = [query["sql"] for query in queries]
    assert len(statements) <= 3, statements


def test_without_prometheus_client_the_answer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    answer = ask("metrics")
    assert answer.status_code == 501
    assert b"pip install 'sisy[metrics]'" in answer.content
    assert ask("metrics", token="wrong").status_code == 401
    assert ask("health").status_code == 503


def test_a_database_that_is_away_answers_503_without_details(monkeypatch):
    def away(*args):
        raise OperationalError("password=hunter2")

    monkeypatch.setattr("sisy.monitoring.snapshot.read_state", away)
    answer = ask("metrics")
    assert (answer.status_code, b"hunter2" in answer.content) == (503, False)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        OPEN_METRICS,
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
        "application/openmetrics-text;version=1.0.0;escaping=dots",
    ],
)
def test_the_answer_is_the_text_that_the_library_writes_by_default(accept, settings):
    settings.SISY_METRICS_TASKS = ["*"]
    up("default", "mail")
    execute(2, label='an "odd" name \\ é')
    counting.flush("default")
    registry = CollectorRegistry()
    registry.register(SisyCollector())
    encode, content_type = choose_encoder(accept)
    answer = ask("metrics", accept=accept)
    assert answer.content.decode() == encode(registry).decode()
    assert answer.headers["Content-Type"] == content_type
