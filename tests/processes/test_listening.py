"""Processes on PostgreSQL that have no channel layer and hardly poll wake each other."""

import pytest
from django.db import connection

from sisy.models import Process, Run, RunState
from tests.processes.conftest import needs_servers
from tests.processes.databases import migrate, open_site
from tests.support.notifying import on_postgresql
from tests.support.waiting import wait_until

pytestmark = [on_postgresql, pytest.mark.usefixtures("forked")]

SUBMIT = "from tests.app import jobs; from sisy.models import Task; Task.run_once(jobs.noop)"
DRAIN = """
from django.utils.timezone import now
from sisy.models import Process
Process.objects.get().request_drain(now())
"""
FAILED, WORKS = "PostgreSQL LISTEN/NOTIFY failed", "PostgreSQL LISTEN/NOTIFY works again"


@pytest.fixture
def site(fleet_site):
    return without_polls(fleet_site)


@pytest.fixture
def fragile_site(postgres, tmp_path):
    needs_servers()
    with open_site(tmp_path, postgres.url, "") as site:
        migrate(site)
        yield without_polls(site)


def without_polls(site):
    """Let the processes have no layer, and find nothing by polling, nor orders by renewing."""
    site.set(CHANNEL_LAYERS={}, SISY_POLL_INTERVAL=60, SISY_LEASE_SECONDS=3600)
    return site


def submit(site):
    """Submit a run in a process that ends at once; return the run."""
    before = set(Run.objects.values_list("pk", flat=True))
    assert site.manage("shell", "--command", SUBMIT).ends() == 0
    return Run.objects.exclude(pk__in=before).get()


def started(site, command="sisy_worker"):
    process = site.manage(command)
    wait_until(Process.objects.filter(pid=process.pid).exists)
    return process


def succeeds(run):
    wait_until(Run.objects.filter(pk=run.pk, state=RunState.SUCCEEDED).exists, patience=40)


def test_a_script_that_ends_at_once_wakes_a_worker(site):
    worker = started(site)
    for _ in range(2):
        succeeds(submit(site))
    assert worker.stop() == 0


def test_a_drain_request_reaches_a_worker_at_once(site):
    worker = started(site)
    succeeds(submit(site))
    assert site.manage("shell", "--command", DRAIN).ends() == 0
    assert worker.ends(40) == 0


def test_a_worker_listens_again_after_a_restart_of_the_server(fragile_site, postgres):
    worker = started(fragile_site)
    succeeds(submit(fragile_site))
    postgres.stop()
    worker.says(FAILED)
    postgres.start()
    worker.says(WORKS)
    connection.close()  # the test's own
    succeeds(submit(fragile_site))
    assert (worker.output.count(FAILED), worker.output.count(WORKS)) == (1, 1)
    assert worker.stop() == 0
