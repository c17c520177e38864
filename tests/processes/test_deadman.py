"""A monitor outside of the site notices that Sisy has stopped."""

import os
import signal
import time

import pytest

from sisy.models import Process, task_with_callable
from tests.app import jobs
from tests.processes.pinging import PING_INTERVAL
from tests.processes.process import wait_until
from tests.support.http_server import http_server

pytestmark = pytest.mark.database


class Monitor:
    """The outside monitor. It raises the alarm if no ping arrives for as long as two take."""

    def __init__(self, server):
        self._server = server
        self._last = time.monotonic()
        self._count = 0

    def is_alarmed(self):
        if len(self._server.received) > self._count:
            self._count, self._last = len(self._server.received), time.monotonic()
        return time.monotonic() - self._last > 2 * PING_INTERVAL


@pytest.fixture
def server():
    with http_server() as server:
        yield server


@pytest.fixture
def start(new_site, forks, server):
    site, database = new_site()
    site.set(SISY_DEADMAN_URL=f"{server.url}/secret", SISY_LEASE_SECONDS=5)

    def start(*command):
        process = site.fork(forks, *command, main="tests.processes.pinging:main")
        wait_until(Process.objects.filter(pid=process.pid).exists, "it has signed on")
        return process

    with database():
        yield start


def kill(*processes):
    for process in processes:
        process.send(signal.SIGKILL)
        process.ends()


def pings_for(server, seconds):
    """Return how many pings arrive from now on, in so many seconds."""
    count, end = len(server.received), time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, "the time is over")
    return len(server.received) - count


def test_the_monitor_notices_the_death_of_all_heartbeats_within_two_pings(start, server):
    task_with_callable(jobs.noop, label="tick", schedule="* * * * * *").save()
    worker = start("sisy_worker")
    heartbeats = [start("sisy_heartbeat"), start("sisy_heartbeat")]
    server.gets(6)
    kill(heartbeats[0])
    server.gets(len(server.received) + 3)
    kill(heartbeats[1])
    monitor, began = Monitor(server), time.monotonic()
    wait_until(monitor.is_alarmed, "the monitor raises the alarm")
    # One ping may have been on its way.
    assert time.monotonic() - began < 4 * PING_INTERVAL
    assert pings_for(server, 1) == 0
    assert {request.path for request in server.received} == {"/secret"}
    assert worker.stop() == 0


def test_the_monitor_notices_that_no_worker_is_left(start, server):
    task_with_callable(jobs.noop, label="tick", schedule="* * * * * *").save()
    worker, heartbeat = start("sisy_worker"), start("sisy_heartbeat")
    server.gets(2)
    kill(worker)
    wait_until(Monitor(server).is_alarmed, "the monitor raises the alarm")
    heartbeat.says("Not pinging SISY_DEADMAN_URL, because Sisy is unhealthy: workers for default")
    worker = start("sisy_worker")
    server.gets(len(server.received) + 1)
    heartbeat.says("Pinging SISY_DEADMAN_URL again")
    assert [worker.stop(), heartbeat.stop()] == [0, 0]


def test_a_frozen_heartbeat_does_not_ping(start, server):
    heartbeat = start("sisy_heartbeat")
    server.gets(2)
    os.kill(heartbeat.pid, signal.SIGSTOP)
    wait_until(Monitor(server).is_alarmed, "the monitor raises the alarm")
    os.kill(heartbeat.pid, signal.SIGCONT)
    server.gets(len(server.received) + 1)
    assert heartbeat.stop() == 0
