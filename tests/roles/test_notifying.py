"""Without a layer, processes on PostgreSQL reach each other by LISTEN and NOTIFY."""

import asyncio
import logging
import os
import threading
import time
from unittest import mock

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from sisy.messaging import carriers, doorbell, messages, notify_post, notify_session
from sisy.messaging.notify_session import NotifySession
from sisy.models import Process, Run, RunState, Task
from tests.app import jobs
from tests.roles.at_work import at_work
from tests.support.moments import NOON
from tests.support.notifying import (
    connected,
    ear,
    end_sessions,
    notify,
    notifying,  # noqa: F401 - a fixture
    on_postgresql,
    sessions_of_posts,
)
from tests.support.waiting import wait_until

pytestmark = [
    on_postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("notifying"),
]

RING = {"type": "sisy.run_task", "id": None, "run": 1, "ts": 0.0, "attempt": 1}


def queued_run():
    """Queue a run as another process does: no worker of this process is told."""
    with mock.patch.object(doorbell, "ring"):
        return Run.objects.get(task=Task.run_once(jobs.noop))


class Heard:
    """Subscribes to channels, and keeps what is heard."""

    def __init__(self, *channels, receives_own=False):
        self.messages = []
        self.changes = []
        self.post = carriers.notify_post()
        hear = dict.fromkeys(channels, self.messages.append)
        self.subscription = self.post.subscribe(
            hear, self.changes.append, receives_own=receives_own
        )
        wait_until(lambda: self.subscription.is_live)

    def end(self):
        self.post.unsubscribe(self.subscription)


def test_a_submitted_run_is_announced_after_its_commit_by_a_session_of_its_own():
    with ear("sisy.run_task") as heard, CaptureQueriesContext(connection) as queries:
        with transaction.atomic():
            Task.run_once(jobs.noop)
            assert heard.all(seconds=0.2) == []
        [notice] = heard._session.notifies(timeout=60, stop_after=1)
    message = messages.from_payload(notice.payload)
    assert messages.is_run_task(message)
    assert message["run"] == Run.objects.get().pk
    assert notice.pid != connection.connection.info.backend_pid
    assert not [one["sql"] for one in queries if "notify" in one["sql"].lower()]


def test_nothing_is_announced_if_the_transaction_is_rolled_back():
    with ear("sisy.run_task") as heard:
        with transaction.atomic():
            Task.run_once(jobs.noop)
            transaction.set_rollback(True)
        assert heard.all(seconds=0.2) == []


def test_many_submissions_in_a_row_share_a_few_signals():
    count = 300
    with ear("sisy.run_task") as heard:
        began = time.monotonic()
        for _ in range(count):
            doorbell.ring([Run(pk=7, queue="default", ready_at=NOON)])
        seconds = time.monotonic() - began
        notices = heard.all(seconds=0.5)
    assert 1 <= len(notices) <= seconds / doorbell.RING_INTERVAL + 2 < count


def test_queues_have_channels_of_their_own():
    with ear("sisy.run_task.slow") as heard:
        Task.run_once(jobs.noop)
        Task.run_once(jobs.noop, queue="slow")
        [(channel, message)] = heard.next()
    assert channel == "sisy.run_task.slow"
    assert message["run"] == Run.objects.get(queue="slow").pk


def test_an_idle_worker_starts_what_another_process_announces(settings):
    settings.SISY_POLL_INTERVAL = 60
    with at_work():
        wait_until(is_listening)
        run = queued_run()
        notify("sisy.run_task", RING)
        wait_until(Run.objects.filter(pk=run.pk, state=RunState.SUCCEEDED).exists, patience=40)


def test_a_worker_looks_once_when_it_begins_to_listen(settings):
    """What was announced before it listened is lost."""
    woken, ordered = threading.Event(), threading.Event()
    listener = doorbell.listener(["default"], woken.set, ordered.set)
    listener.open()
    assert woken.wait(30)
    assert ordered.wait(30)
    asyncio.run(listener.close())


def test_rings_and_orders_of_this_process_are_not_received_twice():
    """Its own workers hear them without PostgreSQL."""
    ours, theirs = Heard("sisy.run_task"), Heard("sisy.run_task", receives_own=True)
    doorbell.ring([Run(pk=7, queue="default", ready_at=NOON)])
    wait_until(lambda: theirs.messages)
    assert ours.messages == []
    ours.end()
    theirs.end()


def test_a_cancel_request_reaches_the_workers_of_other_processes():
    run = queued_run()
    with ear("sisy.workers") as heard:
        doorbell.on_cancel_requested(pks=[run.pk])
        assert heard.next() == [("sisy.workers", messages.cancel(run.pk))]


def test_an_order_from_another_process_is_obeyed_at_once(settings):
    """The lease would be renewed, and the order read, only after a quarter of an hour."""
    settings.SISY_LEASE_SECONDS = 3600
    settings.SISY_POLL_INTERVAL = 60
    with at_work() as worker:
        wait_until(is_listening)
        wait_until(Process.objects.exists)
        Process.objects.update(drain_requested_at=NOON)
        notify("sisy.workers", messages.drain(Process.objects.get().pk))
        wait_until(lambda: worker.is_stopping)


@pytest.mark.parametrize("payload", ["", "no json", "[]", '{"type": "websocket.close"}'])
def test_a_foreign_signal_is_logged_and_dropped(payload, caplog):
    woken = []
    listener = doorbell.listener(["default"], lambda: woken.append(1), lambda: None)
    listener.open()
    wait_until(lambda: woken)
    with connected() as session:
        session.execute("SELECT pg_notify('sisy.run_task', %s)", [payload])
    wait_until(lambda: "Ignored an unknown message on sisy.run_task" in caplog.text)
    assert woken == [1]
    asyncio.run(listener.close())


def test_a_subscriber_that_raises_does_not_silence_others(caplog):
    def fails(message):
        raise LookupError("of a subscriber")

    post = carriers.notify_post()
    bad = post.subscribe({"sisy.events": fails}, lambda is_live: None)
    good = Heard("sisy.events")
    notify("sisy.events", {"n": 1})
    wait_until(lambda: good.messages == [{"n": 1}])
    assert "of a subscriber" in caplog.text
    post.unsubscribe(bad)
    good.end()


def test_a_lost_connection_is_opened_again_and_each_outage_is_logged_once(caplog):
    caplog.set_level(logging.INFO, "sisy")
    heard = Heard("sisy.run_task")
    for times in (1, 2):
        end_sessions(sessions_of_posts())
        wait_until(lambda: heard.changes == [True, *[False, True] * times])  # noqa: B023
    notify("sisy.run_task", RING)
    wait_until(lambda: heard.messages == [RING])
    heard.end()
    told = [one.getMessage() for one in caplog.records]
    assert [line.partition(" (")[0] for line in told] == [
        "PostgreSQL LISTEN/NOTIFY failed",
        "PostgreSQL LISTEN/NOTIFY works again after 1 failure",
    ] * 2


def test_a_run_that_was_queued_while_the_connection_was_lost_is_found(settings):
    settings.SISY_POLL_INTERVAL = 60
    with at_work():
        wait_until(is_listening)
        run = queued_run()  # announced, but to no one
        end_sessions(sessions_of_posts())
        wait_until(Run.objects.filter(pk=run.pk, state=RunState.SUCCEEDED).exists, patience=40)


def test_a_ring_over_a_connection_that_was_lost_meanwhile_still_arrives():
    Task.run_once(jobs.noop)
    wait_until(sessions_of_posts)
    end_sessions(sessions_of_posts())
    with ear("sisy.run_task") as heard:
        run = Run.objects.get(task=Task.run_once(jobs.noop))
        [(_, message)] = heard.next()
    assert message["run"] == run.pk


def test_a_connection_that_only_sends_is_closed_when_it_is_idle(monkeypatch, caplog):
    monkeypatch.setattr(notify_post, "IDLE_SECONDS", 0.0)
    with ear("sisy.run_task") as heard:
        for _ in range(2):
            run = Run.objects.get(task=Task.run_once(jobs.noop))
            assert heard.next()[0][1]["run"] == run.pk
            wait_until(lambda: len(sessions_of_posts()) == 1)  # the ear's
    assert caplog.records == []


def test_signals_that_no_longer_arrive_are_noticed(monkeypatch, caplog):
    monkeypatch.setattr(notify_post, "PROBE_SECONDS", 0.1)
    heard = Heard("sisy.run_task")
    monkeypatch.setattr(NotifySession, "_note", lambda *args: None)
    wait_until(lambda: heard.changes == [True, False])
    monkeypatch.undo()
    heard.end()
    assert caplog.text.count("Listening to PostgreSQL failed") == 1
    assert "no longer delivers notifications" in caplog.text


def test_without_a_first_signal_one_line_is_logged_and_rings_still_leave(monkeypatch, caplog):
    """As behind a proxy that keeps signals to itself."""
    monkeypatch.setattr(notify_session, "PROBE_TIMEOUT", 0.1)
    monkeypatch.setattr(notify_post, "DEAF_SECONDS", 0.1)
    monkeypatch.setattr(NotifySession, "_note", lambda *args: None)
    listener = doorbell.listener(["default"], lambda: None, lambda: None)
    listener.open()
    wait_until(lambda: carriers.notify_post()._deafness.failures == 3)
    with ear("sisy.run_task") as heard:
        Task.run_once(jobs.noop)
        assert heard.next()[0][0] == "sisy.run_task"
    assert caplog.text.count("Listening to PostgreSQL failed") == 1
    assert "no notification arrived within 0.1 s" in caplog.text
    asyncio.run(listener.close())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_a_forked_child_uses_a_connection_of_its_own():
    heard = Heard("sisy.run_task")
    pids = sessions_of_posts()
    with ear("sisy.run_task") as beside:
        if (child := os.fork()) == 0:
            try:
                doorbell._paces.clear()
                doorbell.ring([Run(pk=8, queue="default", ready_at=NOON)])
                carriers.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert beside.next()[0][1]["run"] == 8
    wait_until(lambda: [one["run"] for one in heard.messages] == [8])
    assert set(pids) <= set(sessions_of_posts())
    assert heard.changes == [True]
    heard.end()


def test_a_process_waits_at_its_exit_for_its_last_ring():
    post = carriers.notify_post()
    with ear("sisy.run_task") as heard:
        post.send("sisy.run_task", lambda: RING, after=0.1)
        carriers.close()
        assert not post._thread.is_alive()
        assert heard.next() == [("sisy.run_task", RING)]


def test_a_connection_is_neither_from_a_pool_nor_in_a_transaction():
    settings = {
        **connection.settings_dict,
        "AUTOCOMMIT": False,
        "OPTIONS": {"pool": {"max_size": 1, "min_size": 0}},
    }
    session = NotifySession(type(connections["default"]), settings, "default")
    session.listen_to({"sisy.run_task"})
    notify("sisy.run_task", RING)
    wait_until(session.received)
    with connected() as beside:
        [state] = beside.execute(
            "SELECT state FROM pg_stat_activity WHERE pid = %s", [session._pid]
        ).fetchone()
    session.close()
    assert state == "idle"


def test_in_a_test_run_of_a_project_there_is_no_connection(monkeypatch):
    """Django could not delete the test database."""
    monkeypatch.undo()
    assert carriers.notify_post() is None


def is_listening():
    """Return whether a worker of this process receives messages."""
    found = [one for post in carriers._posts.values() for one in post._subscriptions]
    return bool(found) and all(one.is_live for one in found)
