"""An edit rings the heartbeats: they look at once, so they need not look every second."""

import asyncio
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import transaction

from sisy.heartbeat import Heartbeat
from sisy.management import supervisor
from sisy.messaging import carriers, channel_layer, heartbeat_bell, messages
from sisy.models import Process, Role, Run, RunState, Task, task_with_callable
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.steps import LEASE, finish
from tests.support.moments import HOUR, NOON, SECOND
from tests.support.notifying import (
    ear,
    notify,
    notifying,  # noqa: F401 - a fixture
    on_postgresql,
)
from tests.support.records import worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 3600.0  # seconds, far longer than a test waits


@pytest.fixture
def rings():
    """The list that grows by one with each ring of this process."""
    heard = []
    with heartbeat_bell.listening(lambda: heard.append("ring")):
        yield heard


@pytest.fixture
def task(settings):
    settings.CHANNEL_LAYERS = {}
    task = task_with_callable(jobs.noop, schedule="@hourly")
    task.save()
    return task


def save(task, **fields):
    for name, value in fields.items():
        setattr(task, name, value)
    task.save()


def bulk_update(task):
    task.schedule = "@daily"
    Task.objects.bulk_update([task], ["schedule"])


def resume(task):
    Task.objects.filter(pk=task.pk).update(state="paused")
    task.resume()


EDITS = {
    "create": lambda task: task_with_callable(jobs.noop).save(),
    "bulk_create": lambda task: Task.objects.bulk_create([task_with_callable(jobs.noop)]),
    "change the schedule": lambda task: save(task, schedule="@daily"),
    "change the time zone": lambda task: save(task, timezone="Asia/Kathmandu"),
    "change the end": lambda task: save(task, end_running=NOON + timedelta(days=99_999)),
    "change the target of a broken task": lambda task: (
        Task.objects.filter(pk=task.pk).update(state="broken"),
        save(Task.objects.get(), target_path="tests.app.jobs.anoop"),
    ),
    "update": lambda task: Task.objects.update(schedule="@daily"),
    "update the target": lambda task: Task.objects.update(target_path="tests.app.jobs.anoop"),
    "bulk_update": bulk_update,
    "pause": Task.pause,
    "resume": resume,
    "delete": Task.delete,
    "delete many": lambda task: Task.objects.all().delete(),
}
OTHERS = {
    "save without a change": Task.save,
    "change the user data": lambda task: save(task, userdata={"n": 1}),
    "update the history": lambda task: Task.objects.update(history_runs=7),
    "run now": Task.run_now,
    "submit": lambda task: Task.run_once(jobs.noop),
    "delete what has ended": lambda task: Task.objects.delete_ended(),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_rings_once_it_is_committed(edit, task, rings):
    rings.clear()
    with transaction.atomic():
        EDITS[edit](task)
        assert rings == []
    assert rings


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_is_rolled_back_does_not_ring(edit, task, rings):
    rings.clear()
    with transaction.atomic():
        EDITS[edit](task)
        transaction.set_rollback(True)
    assert rings == []


@pytest.mark.parametrize("step", OTHERS)
def test_what_leaves_the_plan_as_it_is_does_not_ring(step, task, rings):
    rings.clear()
    OTHERS[step](task)
    assert rings == []


def test_a_run_that_is_queued_with_a_delay_rings(task, rings):
    """It may become ready before the next look, and the heartbeat rings for it then."""
    rings.clear()
    Task.run_once(jobs.noop, delay_until=NOON + timedelta(days=99_999))
    assert rings == ["ring"]


def test_a_retry_rings(task, rings):
    Task.objects.update(max_attempts=3)
    now = Task.objects.get().run_now().ready_at
    [run] = claim(worker(now, LEASE), ["default"], 1, now)
    rings.clear()
    finish(run, now, RunState.FAILED)
    assert Run.objects.get().state == RunState.QUEUED
    assert rings == ["ring"]


def test_a_parent_that_reports_a_death_rings(rings):
    process = worker()
    supervisor._store_end("default", [process.pk], "killed by SIGKILL")
    assert rings == ["ring"]


class Layer:
    def __init__(self):
        self.sent = []

    async def group_send(self, group, message):
        self.sent.append((group, message))


def test_many_edits_in_a_row_share_a_few_messages(monkeypatch):
    layer = Layer()
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer)
    monkeypatch.setattr(heartbeat_bell, "_pace", carriers.Pace(heartbeat_bell.RING_INTERVAL))
    for _ in range(1000):
        heartbeat_bell.ring()
    wait_until(lambda: len(layer.sent) >= 2)
    assert len(layer.sent) < 100
    assert layer.sent[0] == ("sisy.heartbeats", {"type": "sisy.look"})


@contextmanager
def sleeping_heartbeat(monkeypatch):
    """Run a heartbeat in a thread that looks once, and again only if it is rung."""
    passes, looked = [], threading.Event()
    usual = Heartbeat._pass

    def one_pass(self):
        made = usual(self)
        made.wait = LONG
        passes.append(made)
        looked.set()
        return made

    monkeypatch.setattr(Heartbeat, "_pass", one_pass)
    heartbeat = Heartbeat()
    thread = threading.Thread(target=lambda: asyncio.run(heartbeat.run()))
    thread.start()
    try:
        assert looked.wait(60)
        yield heartbeat, passes
    finally:
        heartbeat.stop()
        thread.join(30)


def test_a_heartbeat_plans_at_once_what_is_changed_in_its_process(task, monkeypatch):
    with sleeping_heartbeat(monkeypatch):
        Task.objects.update(schedule="0 0 1 1 *")
        wait_until(Task.objects.exclude(next_run=None).exists)


def test_a_heartbeat_that_is_rung_all_the_time_looks_ten_times_a_second(task, monkeypatch):
    with sleeping_heartbeat(monkeypatch) as (heartbeat, passes):
        before, began = len(passes), time.monotonic()
        for _ in range(5000):
            heartbeat._receive_ring()
        wait_until(lambda: len(passes) > before)
        looks, seconds = len(passes) - before, time.monotonic() - began
        assert looks <= seconds / heartbeat_bell.RING_INTERVAL + 2


@on_postgresql
@pytest.mark.usefixtures("notifying")
def test_a_heartbeat_is_woken_by_edits_in_other_processes(monkeypatch, caplog):
    with sleeping_heartbeat(monkeypatch) as (heartbeat, passes):
        wait_until(lambda: heartbeat._bell.is_live)
        wait_until(lambda: len(passes) >= 2)  # it looks when it begins to listen
        before = len(passes)
        notify("sisy.heartbeats", {"type": "sisy.look"})
        wait_until(lambda: len(passes) > before)
        notify("sisy.heartbeats", {"type": "websocket.close"})
        wait_until(lambda: "Ignored an unknown message to heartbeats" in caplog.text)
    assert not heartbeat._bell.is_live


@on_postgresql
@pytest.mark.usefixtures("notifying")
def test_by_notify_an_edit_is_announced_after_its_commit():
    task = task_with_callable(jobs.noop)
    with ear("sisy.heartbeats") as heard:
        with transaction.atomic():
            task.save()
            assert heard.all(seconds=0.2) == []
        assert heard.next() == [("sisy.heartbeats", messages.look())]
        save(task, schedule="@daily")
        assert heard.next() == [("sisy.heartbeats", messages.look())]


def test_without_a_carrier_there_is_nothing_to_send(monkeypatch):
    monkeypatch.setattr(carriers, "carrier", lambda: None)
    pace = carriers.Pace(heartbeat_bell.RING_INTERVAL)
    monkeypatch.setattr(heartbeat_bell, "_pace", pace)
    heartbeat_bell.ring()
    assert pace._leaves_at < 0


class Bell:
    is_live = True


@pytest.fixture
def idle(clocks, settings):
    """A heartbeat that can be rung, has looked for a while, and has nothing to do for long."""
    settings.SISY_HEARTBEAT_FREQUENCY = 3600
    heartbeat = Heartbeat()
    heartbeat._bell = Bell()
    heartbeat._pass()
    clocks.go_on(1.5 * SECOND)  # to the middle of a second, when it looks
    return heartbeat


def wait_of(heartbeat):
    """Return the seconds that the heartbeat waits after its next look."""
    return heartbeat._pass().wait


def test_an_idle_heartbeat_that_can_be_rung_waits_for_two_seconds(idle):
    assert wait_of(idle) == 2


def test_it_also_looks_at_the_whole_second_if_it_cannot_be_rung(idle):
    idle._bell.is_live = False
    assert wait_of(idle) == 0.5


def test_it_waits_for_a_second_if_its_lease_is_short(idle, settings):
    settings.SISY_LEASE_SECONDS = 7
    assert wait_of(idle) == 1


@pytest.mark.parametrize(
    ("seconds", "wait"), [(0.5, 0.5), (1, 1), (2, 1), (2.5, 1), (3, 2), (3.5, 2), (60, 2)]
)
def test_it_waits_no_longer_than_the_next_due_moment_allows(idle, clocks, seconds, wait):
    """It looks at least a second before, to plan ahead, and to try again if that fails."""
    Task.run_once(jobs.noop, delay_until=clocks.moment + timedelta(seconds=seconds))
    assert wait_of(idle) == wait


def test_it_is_in_time_for_its_own_rounds(idle, clocks):
    for seconds, wait in ((1, 1), (2, 1), (3, 2)):
        idle._next_beat = clocks.moment + timedelta(seconds=seconds)
        assert wait_of(idle) == wait
        idle._next_beat = clocks.moment + HOUR
        idle._audit.next_at = clocks.moment + timedelta(seconds=seconds)
        assert wait_of(idle) == wait
        idle._audit.next_at = clocks.moment + HOUR


def test_it_is_in_time_for_a_lease_that_expires(idle, clocks):
    process = worker(clocks.moment, LEASE)
    assert process.role == Role.WORKER
    for seconds, wait in ((2, 1), (3, 2)):
        lease_until = clocks.moment + timedelta(seconds=seconds)
        Process.objects.filter(pk=process.pk).update(lease_until=lease_until)
        assert wait_of(idle) == wait
