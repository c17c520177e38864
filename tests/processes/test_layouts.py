"""The process layouts of the example: web, heartbeats and workers under a process manager."""

import sys
from pathlib import Path

import psutil
import pytest

from sisy.models import Process, Role, Run, RunState
from tests.processes.conftest import is_mariadb
from tests.processes.http import free_port, page, status_of_websocket
from tests.processes.ledger import count
from tests.processes.process import ROOT
from tests.support.waiting import wait_until

EXAMPLE = ROOT / "example"
PREPARE = """
from django.contrib.auth import get_user_model
from shop.tasks import create_new_tasks, create_tasks_with_a_past
from sisy.models import Task
get_user_model().objects.create_superuser("admin")
create_tasks_with_a_past()
create_new_tasks({address!r})
# It is due each quarter of an hour, takes 12 seconds, and is not rerun if its worker is stopped.
Task.objects.get(label="orders: charge cards").pause("No run of it is cut short.")
"""
FLEET = "web=1,heartbeat=2,worker=3"
TERMINATED = 143  # honcho tells that it ended by the signal that it got


@pytest.fixture
def port(fleet_site):
    """A port for the example, whose database is ready and whose tasks are scheduled."""
    if is_mariadb():
        pytest.skip("the example speaks to PostgreSQL: make test-postgres")
    port = free_port()
    fleet_site.environment |= {
        "DJANGO_SETTINGS_MODULE": "demosite.settings",
        "PATH": f"{Path(sys.executable).parent}:{fleet_site.environment['PATH']}",
        "PORT": port,
    }
    prepare = PREPARE.format(address=f"http://127.0.0.1:{port}/")
    for command in (
        ["migrate", "--verbosity", "0"],
        ["shell", "--verbosity", "0", "-c", prepare],
    ):
        preparing = fleet_site.run(sys.executable, "manage.py", *command, cwd=EXAMPLE)
        assert preparing.ends() == 0, preparing.output
    return port


@pytest.mark.parametrize(
    ("manager", "ended"),
    [
        (["honcho", "start", "-c", FLEET], TERMINATED),
        (["honcho", "-f", "Procfile.daphne", "start", "-c", FLEET], TERMINATED),
        (["supervisord", "-c", "supervisor.conf"], 0),
    ],
    ids=["procfile", "procfile with daphne", "supervisor"],
)
def test_a_web_server_two_heartbeats_and_three_workers(fleet_site, port, manager, ended):
    fleet_site.accepted += ["name='/dev/fd/1'", "Enable tracemalloc"]  # supervisor's own
    # The check of the page fails until the web server is up; managers mix the lines of processes.
    fleet_site.accepted.append("  Traceback")
    process = fleet_site.run(*manager, cwd=EXAMPLE)
    wait_until(lambda: "Sisy demo" in page(port, "/reminders/"), "the site answers")
    wait_until(lambda: processes() == {Role.HEARTBEAT: 2, Role.WORKER: 3}, "all have signed on")
    looked = Run.objects.filter(
        label="pages: check /reminders/", state=RunState.SUCCEEDED, result=200
    )
    wait_until(looked.exists, "a task has looked at the page")
    wait_until(lambda: count(RunState.SUCCEEDED) >= 15, "the ledger fills")
    assert "visits: count up" in page(port), "whoever comes sees the dashboard"
    assert status_of_websocket(port, "/ws/sisy/") == 101, "the dashboard is live"
    children = psutil.Process(process.pid).children(recursive=True)
    assert process.stop() == ended
    assert [child for child in children if child.is_running()] == []
    assert not Process.objects.exists()
    assert not Run.objects.running().exists()
    assert count(RunState.LOST) == 0


def processes():
    roles = list(Process.objects.values_list("role", flat=True))
    return {role: roles.count(role) for role in roles}
