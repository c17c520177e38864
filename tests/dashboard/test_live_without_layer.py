"""On PostgreSQL, the socket of the dashboard needs no channel layer."""

import asyncio

import pytest

from sisy.dashboard import notified_groups
from sisy.dashboard.live import TRY_LATER
from sisy.dashboard.pages.page import live_address
from sisy.messaging import carriers, dashboard_events, messages
from sisy.messaging.notify_session import NotifySession
from sisy.models import Task
from sisy.runtime import live_socket
from tests.admin.people import browser_of
from tests.app import jobs
from tests.dashboard.test_live import aside, heard, opened, socket
from tests.support.notifying import (
    end_sessions,
    notify,
    notifying,  # noqa: F401 - a fixture
    on_postgresql,
    sessions_of_posts,
)

pytestmark = [
    on_postgresql,
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("notifying"),
]

EVENT = messages.runs_changed("one", 0, {7}, 100)
BEAT = {"type": messages.HEARTBEAT, "time": 12.5}


def subscriptions():
    return [one for post in carriers._posts.values() for one in post._subscriptions]


async def test_a_page_receives_the_messages_of_other_processes():
    page, _ = await opened("view_task")
    assert await heard(page) == {"hello": True}
    await aside(notify, messages.EVENTS, EVENT)
    assert await heard(page) == {"seq": 0, "kinds": ["runs"]}
    await aside(notify, messages.HEARTBEAT, BEAT)
    assert await heard(page) == {"seq": 1, "kinds": ["beat"], "beat": 12.5}
    await page.disconnect()
    assert subscriptions() == []


async def test_a_page_learns_of_runs_that_change_in_its_own_process(monkeypatch):
    monkeypatch.setattr(dashboard_events, "_announcer", dashboard_events.Announcer())
    page, _ = await opened("view_task")
    assert await heard(page) == {"hello": True}
    await aside(Task.run_once, jobs.noop)
    assert (await heard(page))["kinds"] == ["runs"]
    await page.disconnect()


async def test_the_beats_of_a_heartbeat_arrive():
    page, _ = await opened("view_task")
    assert await heard(page) == {"hello": True}
    await carriers.broadcast(messages.HEARTBEAT, BEAT)
    assert await heard(page) == {"seq": 0, "kinds": ["beat"], "beat": 12.5}
    await page.disconnect()


async def test_foreign_messages_neither_end_a_socket_nor_reach_its_page(caplog):
    page, _ = await opened("view_task")
    assert await heard(page) == {"hello": True}
    for message in ({}, {"type": "close"}, {"type": "websocket.disconnect"}, [], 7):
        await aside(notify, messages.EVENTS, message)
    await aside(notify, messages.EVENTS, EVENT)
    assert await heard(page) == {"seq": 0, "kinds": ["runs"]}
    assert caplog.text.count("Ignored an unknown message") == 5
    await page.disconnect()


async def test_a_page_polls_from_the_moment_that_the_connection_is_lost():
    page, client = await opened("view_task")
    assert await heard(page) == {"hello": True}
    await aside(lambda: end_sessions(sessions_of_posts()))
    message = await page.receive_output(timeout=30)
    assert (message["type"], message["code"]) == ("websocket.close", TRY_LATER)
    await page.disconnect()
    again = socket(client.cookies)
    assert (await again.connect())[0]
    assert await heard(again) == {"hello": True}
    await again.disconnect()
    assert subscriptions() == []


async def test_a_page_polls_where_signals_do_not_get_through(monkeypatch):
    monkeypatch.setattr(notified_groups, "JOIN_TIMEOUT", 0.1)
    monkeypatch.setattr(NotifySession, "_note", lambda *args: None)
    client = await aside(browser_of, "view_task")
    page = socket(client.cookies)
    assert (await page.connect())[0]
    message = await page.receive_output(timeout=30)
    assert (message["type"], message["code"]) == ("websocket.close", TRY_LATER)
    await page.disconnect()
    assert subscriptions() == []


async def test_a_socket_whose_server_gives_it_up_leaves_nothing_behind():
    client = await aside(browser_of, "view_task")
    page = socket(client.cookies)
    assert (await page.connect())[0]
    assert await heard(page) == {"hello": True}
    assert len(subscriptions()) == 1
    page.future.cancel()
    await asyncio.wait([page.future])
    assert subscriptions() == []


@pytest.mark.parametrize("is_served", [True, False])
def test_pages_open_a_socket_only_if_their_process_serves_one(monkeypatch, is_served):
    """Most projects have none, and would log a failed request for each try."""
    monkeypatch.setattr(live_socket, "_is_served", is_served)
    assert bool(live_address()) == is_served
