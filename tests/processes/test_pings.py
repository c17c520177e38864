"""Pings of real heartbeats and workers to a monitor that is down for a while."""

import re
from collections import defaultdict

import pytest

from sisy.models import OutboxMessage, Process, Run, task_with_callable
from tests.app import jobs
from tests.processes.process import wait_until
from tests.support.http_server import http_server, status

pytestmark = pytest.mark.database

PING = re.compile(r"/secret(?P<what>/start|/fail)?\?rid=(?P<rid>[0-9-]+)")
RUNS = 4


@pytest.fixture
def server():
    with http_server() as server:
        yield server


def test_each_run_is_pinged_in_order_although_the_monitor_was_down(new_site, forks, server):
    accepted = []

    def answer(handler):
        # The first requests find the monitor down.
        is_down = len(server.received) <= 2
        if not is_down:
            accepted.append(handler.path)
        status(503 if is_down else 200)(handler)

    server.answer = answer
    site, database = new_site()
    with database():
        task_with_callable(
            jobs.noop,
            label="tick",
            schedule="* * * * * *",
            iterations=RUNS,
            ping=f"{server.url}/secret",
        ).save()
        commands = ("sisy_heartbeat", "sisy_heartbeat", "sisy_worker")
        first, second, worker = (site.fork(forks, command) for command in commands)
        pids = [first.pid, second.pid, worker.pid]
        wait_until(lambda: Process.all_objects.filter(pid__in=pids).count() == 3)
        wait_until(lambda: server.received, "the first ping arrives")
        assert first.stop() == 0
        wait_until(lambda: Run.objects.filter(state="succeeded").count() == RUNS)
        # What a heartbeat that stops can no longer send is due again a minute after its claim.
        wait_until(lambda: not OutboxMessage.objects.exists(), "all pings are sent", patience=100)
        runs = list(Run.objects.values_list("pk", flat=True))
        assert [second.stop(), worker.stop()] == [0, 0]
    pings = defaultdict(list)
    for path in accepted:
        found = PING.fullmatch(path)
        pings[int(found["rid"].replace("-", ""))].append(found["what"])
    assert pings.keys() == set(runs)
    assert list(pings.values()) == [["/start", None]] * RUNS
