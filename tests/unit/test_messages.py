"""What goes over the channel layer, and what is dropped."""

import json

import pytest

from sisy.messaging import channel_layer, doorbell, messages
from sisy.messaging.dashboard_events import MAX_TASKS_NAMED
from sisy.models import Run
from tests.support.moments import NOON

MALFORMED = [
    None,
    "sisy.run_task",
    [],
    {},
    {"type": None},
    {"type": "sisy.run_tasks", "id": 1},
    {"type": "websocket.send"},
    b"sisy.run_task",
]


def run(**columns):
    return Run(**{"pk": 5, "task_id": 3, "due_at": NOON, "ready_at": NOON, **columns})


def test_a_ring_names_task_run_moment_and_the_attempt_to_come():
    assert messages.run_task(run(attempt=1)) == {
        "type": "sisy.run_task",
        "id": 3,
        "run": 5,
        "ts": NOON.timestamp(),
        "attempt": 2,
    }


def test_the_message_of_a_function_names_the_current_attempt():
    assert messages.run_task(run(attempt=1), attempt=1)["attempt"] == 1


def test_a_manual_run_has_the_requested_moment():
    message = messages.run_task(run(due_at=None, task_id=None))
    assert (message["ts"], message["id"]) == (NOON.timestamp(), None)


def test_a_beat_reports_what_the_pass_did():
    assert messages.beat(NOON, planned=1, missed=2, rescued=3, deleted=4) == {
        "type": "sisy.heartbeat",
        "time": NOON.timestamp(),
        "planned": 1,
        "missed": 2,
        "rescued": 3,
        "deleted": 4,
    }


def test_messages_contain_only_ids_and_numbers():
    beat = messages.beat(NOON, planned=1, missed=0, rescued=0, deleted=0)
    for message in (messages.run_task(run()), messages.cancel(5), messages.drain(5), beat):
        assert json.loads(json.dumps(message)) == message
        values = {type(value) for name, value in message.items() if name not in ("type", "do")}
        assert values <= {int, float, type(None)}


def test_channels_of_postgresql_have_short_names_that_differ():
    queues = ["a" * 60, "a" * 59 + "b", "short"]
    names = [messages.notify_name(f"{'j' * 38}.{queue}") for queue in queues]
    assert len(set(names)) == len(queues)
    assert max(map(len, names)) == messages.MAX_NOTIFY_NAME
    assert messages.notify_name("sisy.run_task") == "sisy.run_task"


def test_the_longest_message_fits_into_a_notify():
    tasks = [2**63 - 1 - number for number in range(200)]
    event = messages.runs_changed("f" * 32, 2**63, tasks, MAX_TASKS_NAMED)
    payload = messages.to_payload(event)
    assert len(payload) < 8000
    assert messages.from_payload(payload) == event


@pytest.mark.parametrize("payload", ["", "no json", "{", "[" * 7999])
def test_a_payload_that_is_not_a_message_is_none(payload):
    assert messages.from_payload(payload) is None


def test_a_ring_is_known_by_its_type_alone():
    """What else it holds is a hint, which the worker does not rely on."""
    assert messages.is_run_task(messages.run_task(run()))
    assert messages.is_run_task({"type": "sisy.run_task"})


@pytest.mark.parametrize("message", MALFORMED)
def test_foreign_messages_are_recognised(message):
    assert not messages.is_run_task(message)


@pytest.mark.parametrize("message", MALFORMED)
async def test_a_malformed_message_is_logged_and_dropped(monkeypatch, caplog, message):
    woken = []
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer_with(message))
    assert await listening(woken)._receive("sisy.run_task") == 0
    assert woken == []
    [record] = caplog.records
    assert record.getMessage() == (f"Ignored an unknown message on sisy.run_task: {message!r}")


async def test_a_ring_wakes_the_listeners(monkeypatch, caplog):
    woken = []
    ring = messages.run_task(run())
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer_with(ring))
    await listening(woken)._receive("sisy.run_task")
    assert (woken, caplog.records) == ([True], [])


def listening(woken):
    return doorbell.listener(
        ["default"], lambda: woken.append(True), lambda: woken.append("orders")
    )


async def test_an_order_makes_the_worker_read_its_requests(monkeypatch, caplog):
    heard = []
    layer = MembersLayer([messages.cancel(5), {"type": "websocket.send"}])
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer)
    worker = listening(heard)
    for _ in range(3):
        assert await worker._receive_as_member(messages.WORKERS) == 0
    assert heard == ["orders"]
    [line] = [record.getMessage() for record in caplog.records]
    assert "{'type': 'websocket.send'}" in line


async def test_a_layer_is_rejoined_after_an_outage(monkeypatch):
    """It has forgotten its members, and may never say anything to this one."""
    layer = MembersLayer([])
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer)
    worker = listening([])
    await worker._receive_as_member(messages.WORKERS)
    with pytest.raises(ConnectionError):
        await worker._receive_as_member(messages.WORKERS)
    await worker._receive_as_member(messages.WORKERS)
    assert layer.members == ["specific.channel"] * 2


class MembersLayer:
    """A layer whose members get some messages, before it goes away."""

    def __init__(self, letters):
        self.letters = letters
        self.members = []

    async def new_channel(self):
        return "specific.channel"

    async def group_add(self, group, channel):
        assert group == "sisy.workers"
        self.members.append(channel)

    async def receive(self, channel):
        if not self.letters:
            raise ConnectionError("the layer is away")
        return self.letters.pop(0)


def layer_with(message):
    class Layer:
        async def receive(self, channel):
            assert channel == "sisy.run_task"
            return message

    return Layer()
