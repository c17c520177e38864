"""How people see and drain workers from a terminal."""

import io
import sys

import pytest
from django.core.management import CommandError

from sisy.models import Process, Role
from sisy.runtime.journal import Report
from sisy.runtime.progress import Progress
from sisy.store.run_output import write_while_running
from tests.commands.calling import said, seen, told
from tests.roles.steps import held_run
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture(autouse=True)
def host(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "web-1")


def up(pid=71, lease=MINUTE, **columns):
    columns = {"queues": ("default",), "slots": 4} | columns
    process = Process.join(Role.WORKER, using="default", now=NOON, lease=lease, **columns)
    Process.objects.filter(pk=process.pk).update(pid=pid)
    return Process.objects.get(pk=process.pk)


def test_workers_are_listed_with_what_they_run(monkeypatch):
    run = held_run(up(), label="import products")
    report = Report(head="", written=0, progress=Progress(1, 4, "row 1", at=0.0))
    write_while_running("default", [(run, report)], NOON)
    lines = seen("sisy_workers list", monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:5] == ["71@web-1", "up", "default", "1", "4"]
    assert lines[-2].split()[:4] == [str(run.pk), "import", "products", "71@web-1"]
    assert lines[-2].endswith("25 % · 1 of 4 · row 1")
    [worker] = told("sisy_workers list")
    assert worker["runs"][0]["progress"] == 25
    assert (worker["host"], worker["pid"], worker["slots"]) == ("web-1", 71, 4)
    assert lines[-1] == f"To see the details of a run: manage.py sisy_runs show {run.pk}"


def test_the_state_of_a_worker_says_whether_it_starts_runs():
    up(1)
    up(2, problem="no child can start", problem_since=NOON)
    up(3, lease=-MINUTE)
    up(4).request_drain(NOON)
    states = {one["pid"]: one["state"] for one in told("sisy_workers list")}
    assert states == {1: "up", 2: "problem", 3: "unresponsive", 4: "draining"}
    assert "worker 2@web-1 has a problem: no child can start" in said("sisy_workers list")


def test_a_deploy_in_progress_is_visible(settings):
    for pid, version in ((1, "1.3"), (2, "1.4"), (3, "1.4")):
        settings.SISY_VERSION = version
        up(pid)
    Process.objects.filter(pid=1).update(started_at=NOON - MINUTE)
    text = said("sisy_workers list")
    assert "Several versions: 2 workers on 1.4, 1 worker on 1.3." in text
    assert {one["pid"]: one["version"] for one in told("sisy_workers list")}[1] == "1.3"


def test_a_site_without_workers_says_how_to_start_one():
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=HOUR)
    text = "No workers are running. To start one: manage.py sisy_worker\n"
    assert said("sisy_workers list").startswith(text)


def test_a_worker_is_drained_by_its_name():
    worker = up()
    up(72)
    assert told("sisy_workers drain 71@web-1") == {"draining": ["71@web-1"]}
    worker.refresh_from_db()
    assert worker.drain_requested_at == NOON
    assert Process.objects.filter(drain_requested_at=None).count() == 1
    with pytest.raises(CommandError, match="Nothing to drain"):
        said("sisy_workers drain 'worker 71@web-1'")


def test_all_workers_of_a_host_are_drained_after_a_confirmation(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    held_run(up(71), label="tea")
    up(72)
    with pytest.raises(CommandError, match="This drains 2 workers") as raised:
        said("sisy_workers drain web-1")
    assert "They finish 1 current run, and exit. No other worker serves" in str(raised.value)
    assert "Add --yes to confirm." in str(raised.value)
    assert "Draining 2 workers." in said("sisy_workers drain web-1 --yes")


def test_the_last_worker_of_a_queue_is_drained_after_a_confirmation(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    worker = up(71)
    with pytest.raises(CommandError, match="This drains 1 worker: 71@web-1") as raised:
        said("sisy_workers drain 71@web-1")
    assert "No other worker serves the queue 'default'. Its runs will stay" in str(raised.value)
    worker.refresh_from_db()
    assert worker.drain_requested_at is None
    assert "Draining 1 worker." in said("sisy_workers drain 71@web-1 --yes")
    with pytest.raises(CommandError, match="Nothing to drain"):
        said("sisy_workers drain 71@web-1")


def test_a_queue_whose_workers_are_all_draining_is_not_well_anywhere():
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=HOUR)
    scheduled(label="tea").run_now()
    up(71).request_drain(NOON)
    with pytest.raises(CommandError, match="Unhealthy: workers for default"):
        said("sisy_health")
    for command in ("sisy_status", "sisy_queues list"):
        assert "draining" in said(command)
    assert "all workers for the queue 'default' are draining" in said("sisy_tasks why tea")


def test_an_unknown_worker_is_answered_with_the_nearest_one():
    up()
    with pytest.raises(CommandError, match=r"named 'web1'\. Did you mean 'web-1'\?"):
        said("sisy_workers drain web1")
    with pytest.raises(CommandError, match="to see all workers"):
        said("sisy_workers drain xyz")
