"""A heartbeat that is killed or held up while it sends a message loses neither it nor time."""

import signal

import pytest

from sisy import clock
from sisy.models import OutboxMessage, Process, Run
from tests.app import jobs
from tests.processes.process import wait_until
from tests.support.http_server import http_server, status
from tests.support.messages import post
from tests.support.records import scheduled

pytestmark = pytest.mark.database


@pytest.fixture
def hook():
    with http_server() as server:
        yield server


@pytest.fixture
def heartbeat(new_site, forks, hook):
    """Return a function that starts a heartbeat whose messages go to the server."""
    site, database = new_site()
    site.set(SISY_ALERTS=[f"{hook.url}/hook"], SISY_WEBHOOK_SECRET="a-secret-of-the-tests")

    def start():
        process = site.fork(forks, "sisy_heartbeat")
        wait_until(Process.objects.filter(pid=process.pid).exists, "it has signed on")
        return process

    with database():
        yield start


def keys(server):
    return [request.headers["Idempotency-Key"] for request in server.received]


def test_a_message_whose_sender_was_killed_is_sent_by_another_heartbeat(heartbeat, hook):
    first = heartbeat()
    hook.answer = hook.hangs
    post(channel="webhook")
    hook.gets(1)
    first.send(signal.SIGKILL)
    first.ends()
    assert OutboxMessage.objects.filter(attempts=1, sent_at=None).exists()
    hook.answer = status(200)
    heartbeat()
    # The claim would expire in a minute.
    OutboxMessage.objects.update(next_attempt_at=clock.now("default"))
    wait_until(OutboxMessage.objects.exclude(sent_at=None).exists)
    assert keys(hook) == ["alert-1", "alert-1"]


def test_a_server_that_hangs_delays_no_planning_and_no_stop(heartbeat, hook):
    process = heartbeat()
    hook.answer = hook.hangs
    post(channel="webhook")
    hook.gets(1)
    scheduled("* * * * * *", fn=jobs.noop)
    wait_until(lambda: Run.objects.count() >= 3)
    lateness = [run.planned_at - run.due_at for run in Run.objects.all()]
    assert max(lateness).total_seconds() < 2
    assert process.stop() == 0


def test_of_several_heartbeats_one_sends_each_message(heartbeat, hook):
    for _ in range(3):
        heartbeat()
    expected = [f"alert-{number:02}" for number in range(40)]
    for key in expected:
        post(key, channel="webhook")
    wait_until(lambda: not OutboxMessage.objects.filter(sent_at=None).exists())
    assert sorted(keys(hook)) == expected
