"""The view ``health`` tells probes what ``sisy_health`` says."""

import json

import pytest
from django.core.management import CommandError
from django.db import OperationalError

from sisy.models import Process, Role
from tests.commands.calling import told
from tests.monitoring.asking import TOKEN, ask
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture(autouse=True)
def _token(settings):
    settings.SISY_MONITORING_TOKEN = TOKEN


def up(*queues, role=Role.WORKER, now=NOON):
    lease = 30 * SECOND
    return Process.join(role, using="default", now=now, lease=lease, queues=queues, slots=4)


def test_a_healthy_site_answers_200_with_the_findings_of_the_command():
    up(role=Role.HEARTBEAT)
    up("default", "mail")
    answer = ask("health?queues=default,mail")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    found = answer.json()
    assert found["status"] == "healthy"
    assert found["checks"] == told("sisy_health --queues default,mail")


def test_an_unhealthy_site_answers_503_with_the_findings_of_the_command(noon, capsys):
    scheduled("0 0 1 1 *", label="tea").run_now()
    noon.moment = NOON + 2 * MINUTE
    up(role=Role.HEARTBEAT, now=noon.moment)
    up("default", now=noon.moment)
    answer = ask("health")
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert ask("health?max_overdue=300").status_code == 200
    with pytest.raises(CommandError):
        told("sisy_health")
    [row] = [row for row in answer.json()["checks"] if not row["healthy"]]
    assert "the oldest, tea #" in row["details"]


def test_the_view_checks_the_queues_of_all_active_tasks_like_the_command():
    up(role=Role.HEARTBEAT)
    up("default")
    scheduled(label="tea", queue="mail")
    answer = ask("health")
    assert answer.status_code == 503
    wrong = [row["check"] for row in answer.json()["checks"] if not row["healthy"]]
    assert wrong == ["workers for mail"]
    up("mail")
    assert ask("health").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "queues=",
        "queues=a b",
        "queues=%00",
        "queues=" + "x" * 61,
        "max_overdue=",
        "max_overdue=-1",
        "max_overdue=nan",
        "max_overdue=1e400",
        "max_overdue=" + "9" * 5000,
        "max_overdue=\u00b2",
    ],
)
def test_an_invalid_parameter_answers_400_with_the_valid_values(query):
    answer = ask(f"health?{query}")
    assert answer.status_code == 400
    assert "Use " in answer.json()["error"] or "at least one" in answer.json()["error"]


def test_a_database_that_is_away_is_unhealthy_and_reveals_no_details(monkeypatch):
    def away(*args, **kwargs):
        raise OperationalError("connection to host=db.internal password=hunter2 refused")

    monkeypatch.setattr("sisy.monitoring.health.health", away)
    answer = ask("health")
    assert answer.status_code == 503
    assert answer.json()["checks"] == [
        {
            "check": "database",
            "healthy": False,
            "details": "cannot query the database: OperationalError",
        }
    ]
    assert "hunter2" not in json.dumps(answer.json())


def test_without_a_token_an_unavailable_database_answers_503(monkeypatch):
    def away(*args):
        raise OperationalError

    monkeypatch.setattr("sisy.urls._dashboard.may", away)
    answer = ask("health", token=None)
    assert answer.status_code == 503
    assert b"Use a token" in answer.content
