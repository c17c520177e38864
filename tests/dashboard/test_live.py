"""The socket on which pages hear that something changed."""

import asyncio
import json

import pytest
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import connections

from sisy.asgi import LiveASGI
from sisy.dashboard import Dashboard, live
from sisy.dashboard.live import REFUSED
from sisy.messaging import messages
from tests.admin.people import browser_of
from tests.support.waiting import WAIT_TIMEOUT

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("in_memory_layer"),
]


async def elsewhere(scope, receive, send):
    await send({"type": "websocket.close", "code": 4000})


async def aside(step, *args, **kwargs):
    """Call what uses the database, in a thread that leaves no connection behind."""

    def closing():
        try:
            return step(*args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.to_thread(closing)


def socket(cookies=None, origin="http://testserver", path="/ws/sisy/"):
    headers = [(b"host", b"testserver"), (b"origin", origin.encode())]
    if cookies:
        pairs = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
        headers.append((b"cookie", pairs.encode()))
    return WebsocketCommunicator(LiveASGI(elsewhere), path, headers)


async def opened(*permissions):
    client = await aside(browser_of, *permissions)
    communicator = socket(client.cookies)
    assert (await communicator.connect())[0]
    return communicator, client


async def heard(communicator):
    return json.loads(await communicator.receive_from(timeout=WAIT_TIMEOUT))


async def is_refused(communicator):
    message = await communicator.receive_output(timeout=WAIT_TIMEOUT)
    return (message["type"], message["code"]) == ("websocket.close", REFUSED)


async def say(group, message):
    await get_channel_layer().group_send(group, dict(message))


async def test_users_who_may_view_tasks_receive_changes():
    page, _ = await opened("view_task")
    assert await heard(page) == {"hello": True}
    await say(messages.EVENTS, messages.runs_changed("one", 0, {7}, 100))
    assert await heard(page) == {"seq": 0, "kinds": ["runs"]}
    beat = {"type": messages.HEARTBEAT, "time": 12.5, "planned": 0}
    await say(messages.HEARTBEAT, beat)
    assert await heard(page) == {"seq": 1, "kinds": ["beat"], "beat": 12.5}
    await page.disconnect()


async def test_many_events_make_few_messages():
    page, _ = await opened("view_task")
    await heard(page)
    for n in range(90):
        await say(messages.EVENTS, messages.runs_changed("one", n, {n}, 100))
    assert await heard(page) == {"seq": 0, "kinds": ["runs"]}
    assert await page.receive_nothing(timeout=live.MESSAGE_INTERVAL * 2)
    await page.disconnect()


async def test_a_page_refreshes_everything_after_a_lost_event():
    page, _ = await opened("view_task")
    await heard(page)
    for seq in (5, 6, 8):
        await say(messages.EVENTS, messages.runs_changed("one", seq, {1}, 100))
    assert (await heard(page))["resync"] is True
    await say(messages.EVENTS, messages.runs_changed("one", 9, {1}, 100))
    assert "resync" not in await heard(page)
    await page.disconnect()


async def test_anonymous_users_are_rejected_with_a_code_that_pages_receive():
    page = socket()
    assert (await page.connect())[0]
    assert await is_refused(page)


async def test_users_who_may_not_view_tasks_are_rejected():
    page, _ = await opened("view_run")
    assert await is_refused(page)


async def test_a_page_of_another_site_is_rejected(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    client = await aside(browser_of, "view_task")
    page = socket(client.cookies, origin="http://evil.example")
    assert not (await page.connect())[0]


@pytest.mark.parametrize("lost", ["right", "session", "account"])
async def test_a_user_who_loses_the_permission_receives_nothing_more(monkeypatch, lost):
    monkeypatch.setattr(live, "CHECKED_EVERY", 0.05)
    page, client = await opened("view_task")
    assert await heard(page) == {"hello": True}
    if lost == "right":
        await aside(browser_of)
    elif lost == "session":
        await aside(client.logout)
    else:
        await aside(User.objects.update, is_active=False)
    assert await is_refused(page)


async def test_messages_from_a_page_are_ignored():
    page, _ = await opened("view_task")
    await heard(page)
    await page.send_to(text_data="no json")
    await say(messages.EVENTS, messages.runs_changed("one", 0, {7}, 100))
    assert (await heard(page))["kinds"] == ["runs"]
    await page.disconnect()


async def test_other_sockets_go_to_the_application():
    page = socket(path="/ws/chat/")
    assert await page.connect() == (False, 4000)


async def test_the_projects_dashboard_decides_who_receives_changes(settings):
    settings.SISY_DASHBOARD = "tests.dashboard.test_live.OnlyForRunWatchers"
    page, _ = await opened("view_run")
    assert await heard(page) == {"hello": True}
    await page.disconnect()


class OnlyForRunWatchers(Dashboard):
    def may(self, user, permission):
        return user.has_perm("sisy.view_run")
