"""What probes and people on call learn of a site."""

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from sisy.heartbeat import tick
from sisy.models import Process, Queue, Role, Run
from sisy.reports.alerts import health
from sisy.worker.claim import claim
from tests.commands.calling import said, seen, told
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def up(*queues, role=Role.WORKER, now=NOON):
    lease = 30 * SECOND
    return Process.join(role, using="default", now=now, lease=lease, queues=queues, slots=4)


def test_a_healthy_site_is_reported_healthy():
    up(role=Role.HEARTBEAT)
    up("default", "mail")
    found = told("sisy_health --queues default,mail")
    assert {row["healthy"] for row in found} == {True}
    assert [row["check"] for row in found] == [
        "heartbeat",
        "workers for default",
        "workers for mail",
        "due tasks",
        "queued runs",
    ]


def unwell(line="sisy_health"):
    with pytest.raises(CommandError) as raised:
        said(line)
    assert raised.value.returncode == 1
    return str(raised.value)


def test_a_site_without_processes_is_unhealthy():
    assert unwell() == "Unhealthy: heartbeat, workers for default."


def test_the_queues_of_all_active_tasks_need_a_worker():
    up(role=Role.HEARTBEAT)
    up("default")
    scheduled(label="tea", queue="mail")
    scheduled(label="coffee", queue="cpu").pause()
    assert unwell() == "Unhealthy: workers for mail."
    up("mail")
    checks = [row["check"] for row in told("sisy_health")]
    assert checks == ["heartbeat", "workers for mail", "due tasks", "queued runs"]


def test_a_site_whose_tasks_run_on_other_engines_needs_no_worker():
    up(role=Role.HEARTBEAT)
    scheduled("0 0 1 1 *", engine="some day")
    checks = [row["check"] for row in told("sisy_health")]
    assert checks == ["heartbeat", "due tasks", "queued runs"]


def test_a_site_whose_tasks_are_all_paused_needs_a_default_worker():
    up(role=Role.HEARTBEAT)
    scheduled(queue="mail").pause()
    assert unwell() == "Unhealthy: workers for default."


def test_findings_fit_the_terminal_and_are_not_cut(noon, monkeypatch):
    task = scheduled("0 0 1 1 *", label="a label that takes a lot of room", queue="mail")
    task.run_now()
    noon.moment = NOON + 2 * MINUTE
    up(role=Role.HEARTBEAT, now=noon.moment)
    up("mail", now=noon.moment)
    Queue.objects.pause("mail")
    text = seen("sisy_health", monkeypatch)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    words = " ".join(text.split())
    assert "no runs are waiting for a worker; 1 run is queued in the paused queue mail" in words


def test_an_unhealthy_site_leads_to_what_to_do(capsys):
    with pytest.raises(CommandError):
        call_command("sisy_health")
    assert "To see what to do: manage.py sisy_status" in capsys.readouterr().out


def test_an_occurrence_left_unplanned_makes_a_site_unhealthy(noon):
    up(role=Role.HEARTBEAT, now=NOON + 3 * MINUTE)
    up("default", now=NOON + 3 * MINUTE)
    scheduled(label="tea")
    noon.moment = NOON + 3 * MINUTE
    assert unwell() == "Unhealthy: due tasks."
    assert "has been due for 2 min" in said("sisy_health --max-overdue 300")


def test_a_long_wait_is_unhealthy_unless_the_queue_is_paused(noon):
    task = scheduled("0 0 1 1 *", label="tea")
    task.run_now()
    noon.moment = NOON + 2 * MINUTE
    up(role=Role.HEARTBEAT, now=noon.moment)
    up("default", now=noon.moment)
    assert unwell() == "Unhealthy: queued runs."
    assert "1 run is queued; the oldest, tea #" in said("sisy_health --max-overdue 300")
    Queue.objects.pause("default")
    text = said("sisy_health")
    assert "the queue is paused" in text
    assert "no runs are waiting for a worker; 1 run is queued in the paused queue default" in text
    task.run_now()
    assert "2 runs are queued in the paused queue default" in said("sisy_health")


def test_a_probe_of_some_queues_checks_only_their_runs(noon):
    scheduled("0 0 1 1 *", label="tea").run_now()
    scheduled("0 0 1 1 *", label="labels", queue="print").run_now()
    scheduled("0 0 1 1 *", label="lunch", queue="lunch").run_now()
    noon.moment = NOON + 2 * MINUTE
    up(role=Role.HEARTBEAT, now=noon.moment)
    up("mail", "print", "default", now=noon.moment)
    Queue.objects.pause("lunch")
    text = said("sisy_health --queues mail")
    assert "no runs are waiting for a worker" in text
    assert "lunch" not in text
    assert unwell("sisy_health --queues mail,print") == "Unhealthy: queued runs."
    assert unwell() == "Unhealthy: queued runs."


def test_a_run_that_waits_for_its_turn_is_healthy(noon):
    task = scheduled("0 0 1 1 *", label="tea", overlap="buffer_all")
    task.run_now()
    holder = up("default", now=NOON)
    claim(holder, ["default"], 1, NOON)
    task.run_now()
    noon.moment = NOON + 2 * MINUTE
    up(role=Role.HEARTBEAT, now=noon.moment)
    up("default", now=noon.moment)
    assert Run.objects.queued().count() == 1
    assert "no runs are waiting for a worker" in said("sisy_health")


def test_a_failing_query_has_its_own_exit_code(monkeypatch):
    def away(*args, **kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr("sisy.management.commands.sisy_health.health", away)
    with pytest.raises(CommandError) as raised:
        said("sisy_health")
    assert raised.value.returncode == 3
    assert health.health is not away


def test_the_status_shows_processes_queues_and_alerts():
    scheduled(label="tea").run_now()
    up("default")
    text = said("sisy_status")
    assert "worker" in text
    assert "No heartbeat is running" in text
    found = told("sisy_status")
    assert found["queues"][0]["queued"] == 1
    assert set(found) == {"processes", "queues", "throughput", "alerts"}


def test_a_table_has_its_columns_under_their_names():
    scheduled(label="tea")
    lines = said("sisy_tasks list").splitlines()
    assert lines[0].split() == [
        *("id", "label", "schedule", "queue", "state", "next", "run", "last", "run"),
        *("last", "result"),
    ]
    assert set(lines[1]) == {"-", " "}
    assert "tea" in lines[2]
    tick("default", NOON + HOUR)


def test_the_health_check_of_a_container_looks_at_its_own_processes_only(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "other")
    up("default")
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    assert unwell("sisy_health --this-host") == "Unhealthy: processes on this host."
    process = up(role=Role.HEARTBEAT)
    [row] = told("sisy_health --this-host")
    assert row == {"check": "processes on this host", "healthy": True, "details": str(process)}


def test_an_expired_lease_fails_the_health_check_of_its_host(noon):
    up(role=Role.HEARTBEAT)
    noon.moment = NOON + MINUTE
    assert unwell("sisy_health --this-host") == "Unhealthy: processes on this host."
