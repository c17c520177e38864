"""Another server takes over at another address: the processes find it and listen there."""

import signal

import pytest
from django.db import connection, connections

from sisy.models import Task, task_with_callable
from tests.app import jobs
from tests.processes.conftest import needs_servers
from tests.processes.databases import migrate, open_site
from tests.processes.test_listening import FAILED, WORKS, started, submit, succeeds, without_polls
from tests.support.notifying import on_postgresql
from tests.support.waiting import wait_until

pytestmark = [on_postgresql, pytest.mark.usefixtures("forked")]

EDIT = "from sisy.models import Task; Task.objects.update(schedule='0 0 2 1 *')"


@pytest.fixture
def successor(postgres):
    server = postgres.successor()
    yield server
    connections.close_all()  # the test's own
    server.__exit__()


@pytest.fixture
def site(postgres, successor, tmp_path):
    """A site that knows both addresses, as libpq and Django take them."""
    needs_servers()
    url = f"postgresql://postgres@/postgres?host={postgres.folder},{successor.folder}"
    with open_site(tmp_path, url, "") as site:
        migrate(site)
        yield without_polls(site)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["switch", "crash"])
def test_processes_listen_to_the_server_that_takes_over(site, postgres, successor, number):
    task_with_callable(jobs.noop, schedule="0 0 1 1 *").save()
    worker, heartbeat = started(site), started(site, "sisy_heartbeat")
    succeeds(submit(site))
    postgres.stop(number)
    worker.says(FAILED)
    heartbeat.says(FAILED)
    successor.start()
    worker.says(WORKS)
    heartbeat.says(WORKS)
    connection.close()  # the test's own
    for _ in range(2):
        succeeds(submit(site))
    before = Task.objects.get().next_run
    assert site.manage("shell", "--command", EDIT).ends() == 0
    wait_until(Task.objects.exclude(next_run=before).exclude(next_run=None).exists)
    for process in (worker, heartbeat):
        assert (process.output.count(FAILED), process.output.count(WORKS)) == (1, 1)
        assert process.stop() == 0
