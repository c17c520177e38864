"""The overview, sisy_status and sisy_health judge by the same alerts."""

import pytest

from sisy.models import Alert, Process, Queue, Role
from sisy.reports.alerts import Kind, Severity, Thresholds, find_alerts
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.commands.calling import said, told
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def up(role=Role.WORKER, **columns):
    columns.setdefault("queues", ("default",) if role == Role.WORKER else ())
    return Process.join(role, using="default", now=NOON, lease=HOUR, **columns)


def kinds(**thresholds):
    return {alert.kind for alert in find_alerts("default", NOON, Thresholds(**thresholds))}


def test_each_alert_has_a_severity_and_a_kind():
    scheduled()
    found = {alert.kind: alert.severity for alert in find_alerts("default", NOON)}
    assert found == {
        Kind.NO_HEARTBEAT: Severity.CRITICAL,
        Kind.NO_WORKER: Severity.CRITICAL,
    }
    assert {row["severity"] for row in told("sisy_status")["alerts"]} == {"critical"}


def test_every_surface_lists_the_same_alerts():
    up(Role.HEARTBEAT)
    up()
    scheduled("0 0 1 1 *", label="stocktaking").run_now()
    Queue.objects.pause("default", "Too hot.", by="Sam")
    [alert] = find_alerts("default", NOON)
    assert (alert.kind, alert.severity) == (Kind.QUEUE_PAUSED, Severity.INFO)
    assert alert.why in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert alert.why in said("sisy_status")
    assert "the queue is paused" in said("sisy_health")  # which is healthy: it is on purpose


def test_a_paused_queue_needs_no_worker_on_any_surface():
    up(Role.HEARTBEAT)
    scheduled("0 0 1 1 *")
    assert kinds() == {Kind.NO_WORKER}
    Queue.objects.pause("default")
    assert kinds() == {Kind.QUEUE_PAUSED}
    said("sisy_health")


def test_without_any_worker_one_problem_names_all_queues_that_need_one():
    up(Role.HEARTBEAT)
    for queue in ("mail", "slow", "mail"):
        scheduled(queue=queue).run_now()
    words = (
        "No worker is running, so all runs stay queued. Start 'manage.py sisy_worker --queues "
        "mail,slow'."
    )
    text = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "1 problem" in text
    for shown in (text, " ".join(said("sisy_status").split())):
        assert words in shown
        assert "mail: 2 runs of" in shown
    up(queues=("mail",))
    text = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "No worker serves the queue 'slow'" in text
    assert "No worker is running" not in text


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_threshold_decides_when_a_task_is_late(noon, seconds):
    task = scheduled(label="tea")
    late = Thresholds(late=seconds * SECOND)
    for age, is_late in ((seconds - 1, False), (seconds, True)):
        found = find_alerts("default", task.next_run + age * SECOND, late)
        assert any(alert.kind == Kind.LATE for alert in found) == is_late


def test_a_worker_problem_is_tolerated_while_another_worker_serves():
    up(Role.HEARTBEAT)
    up(problem="No memory.", problem_since=NOON - MINUTE)
    assert Kind.WORKER_PROBLEM in kinds(problem=HOUR)  # no other worker serves its queue
    up()
    assert Kind.WORKER_PROBLEM not in kinds(problem=HOUR)
    assert Kind.WORKER_PROBLEM in kinds(problem=MINUTE)
    assert Kind.WORKER_PROBLEM in kinds()


@pytest.mark.parametrize("parts", ["", "&parts=alerts"])
def test_an_action_on_an_alert_leads_back_to_the_same_view(parts):
    Alert.objects.create(
        open_key="x", kind=Kind.FAILING, subject="call:x", why="x", since=NOON, opened_at=NOON
    )
    page = browser_of("view_task", "handle_alert").get(f"/sisy/?hours=24&by=queue{parts}")
    assert 'name="next" value="/sisy/?hours=24&amp;by=queue#' in page.content.decode()
