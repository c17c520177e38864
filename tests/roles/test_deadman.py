"""The dead man's switch: who pings, when, and what keeps it silent."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async

from sisy import clock
from sisy.alerting import deadman
from sisy.heartbeat import Heartbeat
from sisy.models import Process, Queue, Role
from tests.support.http_server import http_server, status
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

SECRET = "5bf66975-d4c7-4bf5"


@pytest.fixture
def monitor(settings):
    with http_server() as server:
        settings.SISY_DEADMAN_URL = f"{server.url}/{SECRET}"
        yield server


def up(*queues, role=Role.WORKER, now=NOON, lease=HOUR):
    return Process.join(role, using="default", now=now, lease=lease, queues=queues, slots=4)


def switch_of(process, progress=None):
    if progress is None:
        progress = deadman.Progress()
        progress.last_pass = clock.steady()
    return deadman.DeadMansSwitch("default", progress, lambda: process.pk)


async def step_of(process, progress=None):
    switch = switch_of(process, progress)
    try:
        return await switch._step()
    finally:
        await switch._thread.close()


@pytest.fixture
def heartbeat(noon):
    return up(role=Role.HEARTBEAT)


async def test_a_heartbeat_pings_each_minute_while_sisy_is_healthy(monitor, heartbeat):
    assert await step_of(heartbeat) == pytest.approx(60, abs=10)
    assert [(one.method, one.path) for one in monitor.received] == [("GET", f"/{SECRET}")]


async def test_an_unhealthy_site_is_not_pinged_and_the_reason_is_logged_once(
    monitor, heartbeat, caplog
):
    await sync_to_async(scheduled)(queue="mail")
    switch = switch_of(heartbeat)
    for _ in range(3):
        assert await switch._step() <= 10
    assert monitor.received == []
    said = [record.getMessage() for record in caplog.records if record.name == "sisy"]
    assert said == [
        "Not pinging SISY_DEADMAN_URL, because Sisy is unhealthy: workers for mail: no workers "
        "are running"
    ]
    await sync_to_async(up)("mail")
    await switch._step()
    await switch._thread.close()
    assert len(monitor.received) == 1
    assert caplog.messages[-1] == "Pinging SISY_DEADMAN_URL again, because Sisy is healthy"


@pytest.mark.parametrize("fault", ["not planned", "not claimed"])
async def test_no_ping_is_sent_while_runs_are_not_planned_or_claimed(
    monitor, heartbeat, noon, fault
):
    await sync_to_async(up)("default")
    task = await sync_to_async(scheduled)()
    if fault == "not claimed":
        await sync_to_async(task.run_now)()
        await sync_to_async(task.pause)()
    noon.moment = NOON + 3 * MINUTE
    assert await step_of(heartbeat) <= 10
    assert monitor.received == []


async def test_a_paused_queue_is_healthy(monitor, heartbeat):
    await sync_to_async(scheduled)(queue="mail")
    await Queue.objects.acreate(name="mail", paused_at=NOON)
    await step_of(heartbeat)
    assert len(monitor.received) == 1


async def test_a_heartbeat_that_completes_no_pass_does_not_ping(monitor, heartbeat, caplog):
    progress = deadman.Progress()
    assert await step_of(heartbeat, progress) < 1
    progress.last_pass = clock.steady() - 31  # the lease is 30 s
    assert await step_of(heartbeat, progress) <= 10
    assert monitor.received == []
    assert "has not completed a pass recently" in caplog.text


async def test_only_the_three_oldest_heartbeats_ping(monitor, heartbeat, noon):
    others = [await sync_to_async(up)(role=Role.HEARTBEAT) for _ in range(3)]
    for each in others:
        assert await step_of(each) > 50
    assert len(monitor.received) == 2
    await Process.objects.filter(pk=heartbeat.pk).aupdate(lease_until=NOON - SECOND)
    await step_of(others[2])
    assert len(monitor.received) == 3


async def test_a_rejected_ping_is_repeated_soon_and_logged_without_its_address(
    monitor, heartbeat, caplog
):
    monitor.answer = status(503)
    switch = switch_of(heartbeat)
    running = asyncio.create_task(switch.run())
    await sync_to_async(monitor.gets)(2)
    monitor.answer = status(200)
    await sync_to_async(monitor.gets)(3)
    switch.loop.stop()
    await running
    assert caplog.messages[0] == (
        "Pinging SISY_DEADMAN_URL failed (NotDelivered: The server answered 503 Service "
        "Unavailable); retrying"
    )
    assert caplog.messages[-1].startswith("Pinging SISY_DEADMAN_URL works again")
    assert SECRET not in caplog.text


async def test_a_slow_monitor_delays_no_pass(monitor, monkeypatch):
    monitor.answer = monitor.hangs
    heartbeat = Heartbeat()
    running = asyncio.create_task(heartbeat.run())
    await sync_to_async(monitor.gets)(1)
    task = await sync_to_async(scheduled)("* * * * * *")
    runs = await sync_to_async(lambda: task.runs.exists())()
    async with asyncio.timeout(60):
        while not runs:
            await asyncio.sleep(0.05)
            runs = await sync_to_async(lambda: task.runs.exists())()
    monitor.is_over.set()
    heartbeat.stop()
    await running


async def test_a_heartbeat_whose_pass_hangs_falls_silent(monitor, settings, monkeypatch):
    monkeypatch.setattr(deadman, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(deadman, "RETRY_INTERVAL", 0.05)
    settings.SISY_LEASE_SECONDS = 5
    heartbeat, hanging, released = Heartbeat(), threading.Event(), threading.Event()
    running = asyncio.create_task(heartbeat.run())
    await sync_to_async(monitor.gets)(3)

    def hang(*args):
        hanging.set()
        released.wait(60)

    monkeypatch.setattr(heartbeat, "_watch_clock", hang)
    await sync_to_async(hanging.wait)(60)
    # The lease is over before this long.
    monkeypatch.setattr(clock, "steady", lambda steady=clock.steady: steady() + 5)
    await asyncio.sleep(0.2)
    count = len(monitor.received)
    await asyncio.sleep(0.5)
    released.set()
    assert len(monitor.received) == count
    heartbeat.stop()
    await running


async def test_nothing_is_sent_without_an_address(settings):
    settings.SISY_DEADMAN_URL = ""
    names = {thread.name for thread in threading.enumerate()}
    async with deadman.pinging("default", deadman.Progress(), lambda: 1):
        assert not {name for name in names if "deadman" in name}
        assert len(asyncio.all_tasks()) == 1
