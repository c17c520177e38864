"""The sender of a heartbeat loses nothing, and sends each message once, to real servers."""

import asyncio
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest

from sisy.alerting import sender as sender_module
from sisy.alerting import sending
from sisy.alerting.sender import Sender
from sisy.heartbeat import Heartbeat
from sisy.models import Event, OutboxMessage
from sisy.runtime.threads import LoopThread
from tests.support.http_server import http_server, status
from tests.support.messages import post
from tests.support.smtp_server import mail_server, send_to
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch):
    """Let failed messages be due at once, and let senders look often."""
    monkeypatch.setattr(sending, "FIRST_DELAY", timedelta(0))
    monkeypatch.setattr(sender_module, "FIRST_REST", 0.0)
    monkeypatch.setattr(sender_module, "IDLE_INTERVAL", 0.05)


@pytest.fixture
def hook(settings):
    with http_server() as server:
        settings.SISY_ALERTS = [f"{server.url}/hook"]
        settings.SISY_WEBHOOK_SECRET = "a-secret-of-the-tests"
        yield server


@contextmanager
def running(*senders):
    """Let senders send, each as a heartbeat does."""
    home, over = LoopThread("senders"), asyncio.Event()

    async def serve(one):
        async with one.running():
            await over.wait()

    serving = [home.submit(serve(one)) for one in senders]
    try:
        yield
    finally:
        home.loop.call_soon_threadsafe(over.set)
        for one in serving:
            one.result(10)
        home.close(10)


def after(first, then):
    """Return a function that calls both."""
    return lambda: (first(), then())


def keys(server):
    return [request.headers["Idempotency-Key"] for request in server.received]


def all_are_sent():
    return not OutboxMessage.objects.filter(sent_at=None).exists()


def test_messages_are_sent_in_order(hook):
    expected = [f"alert-{number}" for number in range(5)]
    for key in expected:
        post(key)
    with running(Sender("default")):
        wait_until(all_are_sent)
    assert keys(hook) == expected


def test_of_many_heartbeats_one_sends_each_message(hook):
    expected = [f"alert-{number:02}" for number in range(30)]
    for key in expected:
        post(key)
    with running(*(Sender("default") for _ in range(4))):
        wait_until(all_are_sent)
    assert sorted(keys(hook)) == expected


def test_after_an_error_500_the_retry_carries_the_same_key(hook):
    hook.answer = status(500)
    post()
    with running(Sender("default")):
        hook.gets(3)
        hook.answer = status(200)
        wait_until(all_are_sent)
    assert set(keys(hook)) == {"alert-1"}
    assert [one.attempts for one in OutboxMessage.objects.all()] == [len(hook.received)]


def test_if_the_answer_is_lost_the_retry_carries_the_same_key(hook):
    answers = [lambda handler: handler.connection.close(), status(200)]
    hook.answer = lambda handler: answers.pop(0)(handler)
    post()
    with running(Sender("default")):
        wait_until(all_are_sent)
    assert keys(hook) == ["alert-1", "alert-1"]


def test_a_server_that_is_down_gets_everything_when_it_is_up(settings):
    with http_server() as server:
        settings.SISY_ALERTS, address = [f"{server.url}/hook"], server.url
    settings.SISY_WEBHOOK_SECRET = "a-secret-of-the-tests"
    for number in range(3):
        post(f"alert-{number}")
    with running(Sender("default")):
        wait_until(lambda: OutboxMessage.objects.filter(attempts__gt=1).exists())
        with http_server(int(address.rpartition(":")[2])) as server:
            wait_until(all_are_sent)
            assert sorted(keys(server)) == ["alert-0", "alert-1", "alert-2"]


def test_a_server_that_hangs_delays_no_other_channel(settings):
    settings.SISY_WEBHOOK_SECRET = "a-secret-of-the-tests"
    settings.ADMINS = ["ann@example.com"]
    with http_server() as slow, mail_server() as mails:
        slow.answer = slow.hangs
        settings.SISY_ALERTS = ["email", f"{slow.url}/hook"]
        send_to(settings, mails.port)
        post("alert-1")
        post("alert-2")
        with running(Sender("default")):
            slow.gets(1)
            wait_until(lambda: len(mails.received) == 2)
            assert OutboxMessage.objects.filter(channel="webhook", sent_at=None).count() == 2
            assert keys(slow) == ["alert-1"]
            slow.is_over.set()


def hanging_first(count, is_over):
    """Return an answer to requests of which the first hang until ``is_over`` is set."""
    requests = iter(range(count))

    def answer(handler):
        if next(requests, None) is not None:
            assert is_over.wait(30)
        status(200)(handler)

    return answer


def test_a_channel_that_hangs_forever_is_tried_again(hook, monkeypatch):
    monkeypatch.setattr(sender_module, "SEND_TIMEOUT", 0.1)
    is_over = threading.Event()
    hook.answer = hanging_first(1, is_over)
    post()
    with running(Sender("default")):
        wait_until(all_are_sent)
        is_over.set()
    assert keys(hook) == ["alert-1", "alert-1"]


def test_a_message_that_is_sent_late_is_recorded_as_sent(hook, monkeypatch):
    monkeypatch.setattr(sender_module, "SEND_TIMEOUT", 0.1)
    monkeypatch.setattr(sending, "FIRST_DELAY", timedelta(hours=1))
    is_over = threading.Event()
    hook.answer = hanging_first(1, is_over)
    post()
    with running(Sender("default")):
        wait_until(OutboxMessage.objects.exclude(error="").exists)
        assert OutboxMessage.objects.get().error == "The message was not sent within 0.1 s"
        is_over.set()
        wait_until(all_are_sent)
    assert keys(hook) == ["alert-1"]
    assert OutboxMessage.objects.get().error == ""


def test_a_channel_that_hangs_takes_few_threads(hook, monkeypatch):
    monkeypatch.setattr(sender_module, "SEND_TIMEOUT", 0.05)
    monkeypatch.setattr(sender_module, "MAX_HANGING", 2)
    is_over = threading.Event()
    hook.answer = hanging_first(100, is_over)
    for number in range(5):
        post(f"alert-{number}")
    sender = Sender("default")
    with running(sender):
        wait_until(lambda: "webhook" in sender._routes and sender._routes["webhook"]._hanging == 2)
        wait_until(after_looks(sender, 3))
        assert len(hook.received) == 2
        is_over.set()
        wait_until(all_are_sent)


def after_looks(sender, count):
    """Return whether a sender has looked for messages so often since the first call."""
    looks, step = [], sender._loop._step

    async def look():
        looks.append(None)
        return await step()

    sender._loop._step = look
    return lambda: len(looks) > count


def test_a_message_is_sent_although_its_first_sender_died(hook):
    post()
    moment = OutboxMessage.objects.get().next_attempt_at
    assert sending.claim("default", moment, "webhook")
    with running(Sender("default")):
        OutboxMessage.objects.update(next_attempt_at=moment)
        wait_until(all_are_sent)
    assert keys(hook) == ["alert-1"]
    assert OutboxMessage.objects.get().attempts == 2


def test_a_recovery_arrives_after_its_alert_even_if_that_failed_first(hook):
    answers = [status(500), status(500)]
    hook.answer = lambda handler: (answers or [status(200)]).pop()(handler)
    post()
    post("alert-1-over", Event.RECOVERED, thread="alert-1")
    with running(Sender("default")):
        wait_until(all_are_sent)
    assert list(dict.fromkeys(keys(hook))) == ["alert-1", "alert-1-over"]


def test_an_error_while_recording_sends_nothing_twice(hook, monkeypatch):
    failures = [OSError("the database is away")] * 2
    original = sending.record_sent

    def record(*args):
        if failures:
            raise failures.pop()
        original(*args)

    monkeypatch.setattr(sending, "record_sent", record)
    post()
    with running(Sender("default")):
        wait_until(all_are_sent)
    assert keys(hook) == ["alert-1"]


def test_a_sender_that_is_stopped_while_it_looks_claims_nothing(hook, monkeypatch):
    is_looking, is_stopping = threading.Event(), threading.Event()
    original = sending.due_channels

    def due_channels(*args):
        found = original(*args)
        is_looking.set()
        assert is_stopping.wait(10)
        return found

    monkeypatch.setattr(sending, "due_channels", due_channels)
    post()
    sender = Sender("default")
    monkeypatch.setattr(sender._loop, "stop", after(sender._loop.stop, is_stopping.set))
    with running(sender):
        assert is_looking.wait(10)
    assert [message.attempts for message in OutboxMessage.objects.all()] == [0]
    assert hook.received == []


def test_a_sender_that_is_stopped_sends_what_it_has_claimed_and_no_more(hook, monkeypatch):
    is_stopping = threading.Event()

    def answer(handler):
        assert is_stopping.wait(10)
        status(200)(handler)

    hook.answer = answer
    for number in range(3):
        post(f"alert-{number}")
    sender = Sender("default")
    monkeypatch.setattr(sender._loop, "stop", after(sender._loop.stop, is_stopping.set))
    with running(sender):
        hook.gets(1)
    attempts = OutboxMessage.objects.order_by("pk").values_list("attempts", "sent_at")
    assert [(count, sent is not None) for count, sent in attempts] == [
        (1, True),
        (0, False),
        (0, False),
    ]


def test_an_outage_is_logged_once(hook, caplog):
    hook.answer = status(503)
    for number in range(3):
        post(f"alert-{number}")
    with running(Sender("default")):
        hook.gets(6)
        hook.answer = status(200)
        wait_until(all_are_sent)
    lines = [one for one in caplog.messages if "channel" in one]
    assert [line.partition("(")[0] for line in lines] == [
        "Sending messages to the channel 'webhook' failed ",
        lines[1],
    ]
    assert "works again after" in lines[1]
    assert hook.url not in caplog.text


def test_a_heartbeat_sends_what_others_have_stored(hook, monkeypatch):
    monkeypatch.setattr(sender_module, "IDLE_INTERVAL", 3600)
    heartbeat = Heartbeat()
    home = LoopThread("heartbeat")
    work = home.submit(heartbeat.run())
    try:
        wait_until(lambda: heartbeat._lease.is_registered)
        post()
        wait_until(all_are_sent)
    finally:
        heartbeat.stop()
        work.result(30)
        home.close(10)
    assert keys(hook) == ["alert-1"]
