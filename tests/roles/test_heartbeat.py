"""The heartbeat, step by step: when it beats, for what it rings, and how long it waits."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import connection, connections

from sisy.heartbeat import Heartbeat
from sisy.messaging import channel_layer, doorbell
from sisy.models import Process, Run, Task, task_with_callable
from tests.app import jobs
from tests.support.moments import HOUR, MINUTE, NOON, SECOND

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def without_layer(settings):
    settings.CHANNEL_LAYERS = {}


@pytest.fixture(autouse=True)
async def no_connection_is_left():
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
async def heartbeat():
    heartbeat = Heartbeat()
    yield heartbeat
    heartbeat.stop()
    await heartbeat.run()


@pytest.fixture
def rings():
    """The list that grows by one with each ring of the default queue."""
    heard = []
    with doorbell.listening(["default"], lambda: heard.append("ring")):
        yield heard


def step(heartbeat):
    """Let the heartbeat look once, and return the seconds until it wants to look again."""
    return heartbeat._step()


@sync_to_async
def saved(schedule="* * * * *", **fields):
    task = task_with_callable(jobs.noop, schedule=schedule, timezone="UTC", **fields)
    task.save()
    return task


@sync_to_async
def due_moments():
    return list(Run.objects.order_by("due_at").values_list("due_at", flat=True))


@pytest.mark.parametrize(("milliseconds", "wait"), [(0, 0.5), (300, 0.2), (500, 1.0), (900, 0.6)])
async def test_the_heartbeat_looks_in_the_middle_of_each_second(
    now, heartbeat, milliseconds, wait, monkeypatch
):
    now.moment = NOON + timedelta(milliseconds=milliseconds)
    monkeypatch.setattr(type(heartbeat._bell), "is_live", True)
    monkeypatch.setattr(heartbeat, "_may_leave_out", lambda wait, outlook: False)
    assert await step(heartbeat) == pytest.approx(wait)


@pytest.mark.parametrize(("milliseconds", "wait"), [(0, 0.5), (300, 0.2), (500, 0.5), (900, 0.1)])
async def test_a_heartbeat_that_cannot_be_rung_also_looks_at_the_whole_second(
    now, heartbeat, milliseconds, wait
):
    """A task may have been changed that is due then."""
    now.moment = NOON + timedelta(milliseconds=milliseconds)
    assert await step(heartbeat) == pytest.approx(wait)


async def test_the_heartbeat_wakes_for_occurrences_within_a_second(now, heartbeat):
    run = await sync_to_async(Task.run_once)(
        jobs.noop, delay_until=NOON + timedelta(milliseconds=250)
    )
    assert run is not None
    assert await step(heartbeat) == pytest.approx(0.25)


async def test_an_occurrence_is_planned_and_announced_before_its_moment(now, heartbeat, rings):
    await saved("* * * * * */5")
    await step(heartbeat)
    for second in range(1, 3):
        now.moment = NOON + second * SECOND + SECOND / 2
        await step(heartbeat)
        assert rings == []
    now.moment += SECOND
    await step(heartbeat)
    assert rings == ["ring"]
    assert await due_moments() == [NOON + 5 * SECOND]


async def test_what_is_not_planned_ahead_is_planned_at_its_moment(now, heartbeat, rings):
    await saved("* * * * * */5", spread=timedelta(microseconds=1))
    now.moment = NOON + 4.5 * SECOND
    assert await step(heartbeat) == pytest.approx(0.5)
    assert rings == []
    now.moment = NOON + 5 * SECOND
    await step(heartbeat)
    assert rings == ["ring"]
    assert await due_moments() == [NOON + 5 * SECOND]


async def test_a_task_whose_last_occurrence_is_planned_retires_at_that_moment(now, heartbeat):
    await saved("* * * * * */5", iterations=1)
    now.moment = NOON + 4.5 * SECOND
    assert await step(heartbeat) == pytest.approx(0.5)
    assert await due_moments() == [NOON + 5 * SECOND]
    now.moment = NOON + 5 * SECOND
    await step(heartbeat)
    assert await Task.objects.filter(state="retired").acount() == 1


async def test_a_delayed_run_is_announced_at_its_moment(now, heartbeat, rings):
    await sync_to_async(Task.run_once)(jobs.noop, delay_until=NOON + 3 * SECOND)
    await step(heartbeat)
    rings.clear()
    now.moment = NOON + 2 * SECOND
    await step(heartbeat)
    assert rings == []
    now.moment = NOON + 3 * SECOND
    await step(heartbeat)
    assert rings == ["ring"]


async def test_queued_runs_are_announced_again_at_each_beat(now, heartbeat, rings):
    await sync_to_async(Task.run_once)(jobs.noop)
    await step(heartbeat)
    rings.clear()
    now.moment = NOON + 59 * SECOND
    await step(heartbeat)
    assert rings == []
    now.moment = NOON + MINUTE
    await step(heartbeat)
    assert rings == ["ring"]


async def beats_of(layer, channel):
    """Return the moments of the beats that have been heard so far."""
    moments = []
    while not layer.channels.get(channel, asyncio.Queue()).empty():
        beat = await layer.receive(channel)
        assert beat["type"] == "sisy.heartbeat"
        moments.append(datetime.fromtimestamp(beat["time"], UTC))
    return moments


async def test_the_heartbeat_beats_at_start_when_due_and_at_its_frequency(
    settings, now, heartbeat
):
    settings.SISY_HEARTBEAT_FREQUENCY = 10
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    await saved("* * * * * 7,17", spread=MINUTE)  # not planned ahead
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add("sisy.heartbeat", channel)
    for second in range(22):
        now.moment = NOON + second * SECOND
        await step(heartbeat)
    seconds = [0, 7, 10, 17, 20]
    assert await beats_of(layer, channel) == [NOON + second * SECOND for second in seconds]


class FrozenLayer:
    """Answers nobody until it thaws."""

    def __init__(self):
        self.has_thawed = threading.Event()

    async def send(self, channel, message):
        while not self.has_thawed.is_set():
            await asyncio.sleep(0.01)

    group_send = send


async def test_an_unresponsive_layer_delays_nothing(now, heartbeat, monkeypatch):
    layer = FrozenLayer()
    monkeypatch.setattr(channel_layer, "get_channel_layer", lambda: layer)
    await saved("* * * * * *")
    async with asyncio.timeout(channel_layer.LAYER_TIMEOUT - 1):
        for second in range(10):
            now.moment = NOON + second * SECOND
            await step(heartbeat)
    layer.has_thawed.set()
    assert await due_moments() == [NOON + second * SECOND for second in range(1, 12)]


async def test_a_change_by_raw_sql_is_found_within_a_minute(now, heartbeat):
    tasks = [await saved("0 0 1 1 *") for _ in range(7)]
    await step(heartbeat)

    @sync_to_async
    def change():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE sisy_task SET schedule = '0 13 * * *'")

    await change()
    for second in range(60):
        now.moment = NOON + second * SECOND
        await step(heartbeat)
    planned = Task.objects.filter(next_run=NOON + HOUR)
    assert await planned.acount() == len(tasks)


async def test_the_heartbeat_renews_its_lease_or_registers_again(now, heartbeat):
    await step(heartbeat)
    first = await Process.objects.aget()
    now.moment = NOON + 20 * SECOND
    await step(heartbeat)
    assert (await Process.objects.aget(pk=first.pk)).lease_until == NOON + 50 * SECOND
    await Process.objects.all().adelete()
    await step(heartbeat)
    await step(heartbeat)
    assert (await Process.objects.aget()).pk != first.pk


async def test_the_heartbeat_unregisters_when_it_ends(now):
    heartbeat = Heartbeat()
    beating = asyncio.create_task(heartbeat.run())
    async with asyncio.timeout(20):
        while not await Process.objects.aexists():
            await asyncio.sleep(0)
    heartbeat.stop()
    await beating
    assert not await Process.objects.aexists()


NOBODY = 10**9  # a key that no process has


@sync_to_async
def running_without_a_worker(**fields):
    task = task_with_callable(jobs.noop, schedule="0 0 1 1 *", **fields)
    task.save()
    return Run.objects.create(
        task=task, state="running", attempt=1, process_id=NOBODY, ready_at=NOON, planned_at=NOON
    )


@pytest.mark.parametrize(("on_lost", "state"), [("rerun", "queued"), ("fail", "lost")])
async def test_a_run_of_an_unregistered_process_is_rescued_at_a_beat(
    now, heartbeat, on_lost, state
):
    run = await running_without_a_worker(on_lost=on_lost)
    await step(heartbeat)
    await run.arefresh_from_db()
    assert (run.state, run.times_lost) == (state, 1)
    assert run.reason.startswith("Its worker is not registered")
