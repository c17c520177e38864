"""What no socket of the dashboard may be ended by: errors of the database, and foreign events."""

import pytest
from channels.layers import get_channel_layer
from django.db import OperationalError

from sisy.dashboard import live
from sisy.messaging import messages
from tests.admin.people import browser_of
from tests.dashboard.test_live import aside, heard, is_refused, opened, say, socket
from tests.support.waiting import WAIT_TIMEOUT

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("in_memory_layer"),
]

BEAT = {"type": messages.HEARTBEAT, "time": 12.5}
EVENT = messages.runs_changed("one", 0, {7}, 100)
FOREIGN = [
    {"type": "send.json", "content": "forged"},
    {"type": "send", "text_data": "forged"},
    {"type": "close"},
    {"type": "accept"},
    {"type": "disconnect", "code": 1},
    {"type": "dispatch"},
    {"type": "_check"},
    {"type": "websocket.disconnect", "code": 1000},
    {"type": "websocket.receive", "text": "forged"},
    {"type": "websocket.connect"},
    {"type": "no.such.handler"},
    {"type": messages.EVENT},
    {"type": messages.EVENT, "source": "one", "seq": "x"},
    {"type": messages.EVENT, "source": ["one"], "seq": 1},
    {"type": messages.EVENT, "source": "one", "seq": None},
    {"type": messages.HEARTBEAT},
    {"type": messages.HEARTBEAT, "time": "noon"},
    {"type": messages.HEARTBEAT, "time": float("nan")},
    {"type": messages.HEARTBEAT, "time": float("inf")},
    {"type": messages.HEARTBEAT, "time": 1e300},
    {"type": messages.HEARTBEAT, "time": [1]},
    {"type": None},
    {"type": 7},
    {},
]


async def test_foreign_and_malformed_events_neither_end_a_socket_nor_reach_its_page(caplog):
    page, _ = await opened("view_task")
    assert await heard(page) == {"hello": True}
    for message in FOREIGN:
        await get_channel_layer().group_send(messages.EVENTS, dict(message))
    await say(messages.EVENTS, EVENT)
    assert await heard(page) == {"seq": 0, "kinds": ["runs"]}
    dropped = [one for one in caplog.records if "unknown message" in one.getMessage()]
    assert len(dropped) == len(FOREIGN)
    await page.disconnect()


async def test_a_socket_forgets_silent_processes(monkeypatch):
    monkeypatch.setattr(live, "MAX_SOURCES", 3)
    consumer = live.LiveConsumer()
    consumer._next_seq, consumer._kinds, consumer._has_gap = {}, set(), False
    consumer._may_send, consumer._timer = False, None
    for number in range(9):
        await consumer.dispatch(messages.runs_changed(f"process {number}", 0, {1}, 9))
    assert list(consumer._next_seq) == ["process 6", "process 7", "process 8"]


class Database:
    """Whether somebody may look, as a database says that can be away."""

    def __init__(self):
        self.is_away = False
        self.asked = 0
        self.may_look = True

    async def answer(self):
        self.asked += 1
        if self.is_away:
            raise OperationalError("server closed the connection unexpectedly")
        return self.may_look

    async def is_asked(self):
        """Wait until it has been asked twice more: the first may have begun before."""
        until = self.asked + 2
        while self.asked < until:
            await live.asyncio.sleep(0.005)


@pytest.fixture
def database(monkeypatch):
    found = Database()
    monkeypatch.setattr(live.LiveConsumer, "_may_look", lambda self: found.answer())
    monkeypatch.setattr(live, "CHECKED_EVERY", 0.01)
    monkeypatch.setattr(live, "CHECKED_AGAIN", 0.01)
    return found


async def test_a_page_receives_nothing_during_a_database_outage_and_all_afterwards(
    database,
):
    page, _ = await opened("view_task")
    assert await heard(page) == {"hello": True}
    database.is_away = True
    await database.is_asked()
    await say(messages.EVENTS, EVENT)
    await say(messages.HEARTBEAT, BEAT)
    assert await page.receive_nothing(timeout=live.MESSAGE_INTERVAL * 2)
    database.is_away = False
    assert await heard(page) == {"seq": 0, "kinds": ["beat", "runs"], "beat": 12.5}
    await page.disconnect()


async def test_a_permission_revoked_in_an_outage_closes_the_socket_later(database):
    page, _ = await opened("view_task")
    assert await heard(page) == {"hello": True}
    database.is_away, database.may_look = True, False
    await database.is_asked()
    database.is_away = False
    assert await is_refused(page)


async def test_if_permissions_cannot_be_checked_the_page_retries_later(database):
    database.is_away = True
    client = await aside(browser_of, "view_task")
    page = socket(client.cookies)
    assert (await page.connect())[0]
    message = await page.receive_output(timeout=WAIT_TIMEOUT)
    assert (message["type"], message["code"]) == ("websocket.close", live.TRY_LATER)
