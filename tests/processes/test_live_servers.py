"""With PostgreSQL alone, web servers tell an open page what changes in other processes."""

import json
import sys

import pytest
from websockets.sync.client import connect

from sisy.models import Process
from tests.admin.people import browser_of
from tests.processes.http import free_port, status_of_websocket
from tests.processes.test_listening import submit, succeeds
from tests.support.notifying import on_postgresql
from tests.support.waiting import wait_until

pytestmark = on_postgresql

PATH = "/ws/sisy/"
APPLICATION = "tests.browser.asgi:only_pages"
SERVERS = {
    "uvicorn": ("--log-level", "warning", "--host", "127.0.0.1", "--port"),
    "daphne": ("-v", "0", "-b", "127.0.0.1", "-p"),
}


@pytest.fixture(params=SERVERS)
def port(request, fleet_site):
    """The port of a web server that has no channel layer, and no heartbeat or worker."""
    fleet_site.set(CHANNEL_LAYERS={}, SISY_POLL_INTERVAL=60)
    port, name = free_port(), request.param
    server = fleet_site.run(sys.executable, "-m", name, *SERVERS[name], port, APPLICATION)
    wait_until(lambda: answers(port), f"{name} answers")
    yield port
    server.stop()


def answers(port):
    """Return whether the server takes connections; it refuses those of strangers."""
    try:
        return status_of_websocket(port, PATH) >= 101
    except OSError:
        return False


def opened(port, *permissions):
    """Open the WebSocket, as the browser of somebody who may do these things."""
    cookies = browser_of(*permissions).cookies
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
    return connect(
        f"ws://127.0.0.1:{port}{PATH}",
        origin=f"http://127.0.0.1:{port}",
        additional_headers={"Cookie": cookie},
        open_timeout=60,
        proxy=None,
    )


def next_of(page, kind):
    """Return the next hint of a kind. Beats of a heartbeat may come before it."""
    while True:
        hint = json.loads(page.recv(timeout=60))
        if kind in hint.get("kinds", ()):
            return hint


def test_an_open_page_shows_runs_and_beats_of_other_processes(port, fleet_site):
    with opened(port, "view_task") as page, opened(port, "view_task") as other:
        for each in (page, other):
            assert json.loads(each.recv(timeout=60)) == {"hello": True}
        run = submit(fleet_site)  # by a process that ends at once
        assert next_of(page, "runs")["kinds"] == ["runs"]
        worker = fleet_site.manage("sisy_worker")
        succeeds(run)
        next_of(page, "runs")
        heartbeat = fleet_site.manage("sisy_heartbeat")
        wait_until(Process.objects.filter(pid=heartbeat.pid).exists)
        assert next_of(page, "beat")["beat"] > 0
        assert next_of(other, "runs")["seq"] == 0
    assert (worker.stop(), heartbeat.stop()) == (0, 0)
