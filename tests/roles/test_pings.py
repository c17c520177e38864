"""Pings to the monitors of tasks: what arrives, in which order, and what it costs."""

import asyncio
import re

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from sisy.addresses import MAX_ADDRESS_LENGTH
from sisy.alerting import pings, sending
from sisy.alerting.channels import channel_named
from sisy.alerting.sender import Sender
from sisy.execution import Outcome
from sisy.heartbeat import tick
from sisy.lifecycle.reject import reject_unknown_engines
from sisy.lifecycle.release import release_running
from sisy.models import Event, OnLost, OutboxMessage, Run, RunState, Task
from sisy.runtime.journal import Report
from sisy.store.run_output import write_while_running
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.app import jobs
from tests.roles.at_work import at_work
from tests.roles.steps import LEASE, finish, held_run
from tests.support.http_server import http_server, status
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

SECRET = "5bf66975-d4c7-4bf5"


@pytest.fixture
def monitor():
    with http_server() as server:
        yield server


@pytest.fixture
def address(monitor):
    return f"{monitor.url}/{SECRET}"


def prints(message):
    print("imported 7 orders")


def carried_out(fn, **fields):
    run = scheduled("@yearly", fn, label="report", **fields).run_now()
    with at_work():
        wait_until(lambda: not Run.objects.live().exists())
    return Run.objects.get(pk=run.pk)


def send_all(now=NOON):
    """Send what is due, as a heartbeat does, and return the errors."""
    errors = []
    while True:
        claims = (
            sending.claim("default", now, name) for name in sending.due_channels("default", now)
        )
        messages = [message for message in claims if message is not None]
        if not messages:
            return errors
        for message in messages:
            error = sending.attempt(lambda name=message.channel: channel_named(name), message)
            if error is None:
                sending.record_sent("default", now, message)
            else:
                errors.append(error)
                sending.record_failure("default", now, message, error)


def later():
    """Return a moment at which whatever was stored so far is due."""
    return OutboxMessage.objects.latest("next_attempt_at").next_attempt_at + SECOND


def rid(run):
    return f"rid=00000000-0000-0000-0000-{run.pk:012d}"


def test_the_start_and_the_success_of_a_run_arrive(monitor, address):
    run = carried_out(prints, ping=address)
    assert send_all(later()) == []
    start, success = monitor.received
    assert (start.method, start.path) == ("POST", f"/{SECRET}/start?{rid(run)}")
    assert (success.method, success.path) == ("POST", f"/{SECRET}?{rid(run)}")
    assert start.body == b""
    assert b"imported 7 orders" in success.body
    assert not OutboxMessage.objects.exists()


def test_the_longest_address_that_is_valid_is_pinged(monitor, address):
    address += "x" * (MAX_ADDRESS_LENGTH - len(address))
    carried_out(jobs.noop, ping=address).task.full_clean()
    assert send_all(later()) == []
    assert len(monitor.received) == 2


def test_a_failure_arrives_with_its_reason_and_the_end_of_its_error(monitor, address):
    run = carried_out(jobs.fails, ping=address)
    send_all(later())
    assert [one.path for one in monitor.received] == [
        f"/{SECRET}/start?{rid(run)}",
        f"/{SECRET}/fail?{rid(run)}",
    ]
    body = monitor.received[1].body.decode()
    assert "RuntimeError: it was to be expected" in body
    assert 'raise RuntimeError("it was to be expected")' in body
    assert monitor.received[1].headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_long_text_is_cut_at_its_beginning(noon):
    run = scheduled(label="report").run_now()
    Run.objects.filter(pk=run.pk).update(reason="why", error="x" * 20_000 + "the end")
    body = pings.body_of("default", run.pk)
    assert len(body) == pings.MAX_BODY_LENGTH
    assert body.endswith("the end")


def test_the_output_of_a_worker_that_has_released_the_run_is_not_sent(noon):
    run = held_run(worker())
    write_while_running("default", [(run, Report(head="cut off\n", written=8))], NOON)
    release_running("default", [run], "Its worker stopped", NOON)
    assert pings.body_of("default", run.pk) == "Its worker stopped."
    [again] = claim(worker(), ["default"], 1, NOON + MINUTE)
    finish(again, NOON + MINUTE, state=RunState.FAILED, reason="no disk", report=None)
    assert again.attempt == run.attempt
    assert pings.body_of("default", run.pk) == "no disk"


@pytest.mark.parametrize(
    ("address", "what", "expected"),
    [
        ("https://hc-ping.com/a", "start", "https://hc-ping.com/a/start?rid="),
        ("https://hc-ping.com/a/", "fail", "https://hc-ping.com/a/fail?rid="),
        ("https://hc-ping.com/key/slug?create=1", "success", "key/slug?create=1&rid="),
        ("https://hc-ping.com/key/slug?create=1", "start", "key/slug/start?create=1&rid="),
    ],
)
def test_the_parameters_of_an_address_are_kept(address, what, expected):
    assert expected in pings.address_of(address, what, 7)


def test_a_retry_starts_again_and_only_the_last_failure_arrives(monitor, address):
    run = carried_out(jobs.fails, ping=address, max_attempts=2, retry_delay=SECOND * 0)
    send_all(later())
    assert [one.path.partition("?")[0] for one in monitor.received] == [
        f"/{SECRET}/start",
        f"/{SECRET}/start",
        f"/{SECRET}/fail",
    ]
    assert run.attempt == 2


def test_a_lost_run_fails_only_if_it_does_not_run_again(monitor, address, at_time):
    at_time(NOON)
    scheduled(label="once", ping=f"{address}/once", on_lost=OnLost.FAIL)
    scheduled(label="again", ping=f"{address}/again")
    tick("default", NOON + MINUTE)
    claim(worker(NOON + MINUTE, LEASE), ["default"], 10, NOON + MINUTE)
    tick("default", NOON + MINUTE + LEASE + SECOND)
    send_all(NOON + 5 * MINUTE)
    paths = sorted(one.path.partition("?")[0] for one in monitor.received)
    assert paths == [f"/{SECRET}/again/start", f"/{SECRET}/once/fail", f"/{SECRET}/once/start"]


def test_a_rejected_run_fails(monitor, address):
    run = scheduled(label="elsewhere", ping=address).run_now()
    Run.objects.filter(pk=run.pk).update(engine="gone")
    reject_unknown_engines(Run.objects.filter(pk=run.pk), NOON)
    send_all(later())
    assert [one.path.partition("?")[0] for one in monitor.received] == [f"/{SECRET}/fail"]


def test_the_end_of_a_task_that_was_deleted_still_arrives(monitor, address):
    Task.run_once(jobs.noop, ping=address)
    with at_work():
        wait_until(lambda: not Task.objects.exists())
    send_all(later())
    assert len(monitor.received) == 2


def test_the_end_waits_for_the_start_however_often_that_fails(monitor, address):
    carried_out(jobs.noop, ping=address)
    monitor.answer = status(503)
    now = later()
    for _ in range(3):
        assert len(send_all(now)) <= 1
        now += 10 * MINUTE
    assert {one.path.partition("?")[0] for one in monitor.received} == {f"/{SECRET}/start"}
    monitor.answer = status(200)
    send_all(now)
    send_all(now + MINUTE)
    assert [one.path.partition("?")[0] for one in monitor.received][-2:] == [
        f"/{SECRET}/start",
        f"/{SECRET}",
    ]


def test_the_end_follows_soon_after_a_start_that_is_on_its_way(monitor, address):
    carried_out(jobs.noop, ping=address)
    now = later()
    (channel,) = sending.due_channels("default", now)
    start = sending.claim("default", now, channel)
    assert sending.claim("default", now, channel) is None
    sending.record_sent("default", now, start)
    end = sending.claim("default", now + 2 * SECOND, channel)
    assert end.payload["what"] == "success"


def test_each_attempt_to_send_a_ping_carries_the_same_key(monitor, address):
    carried_out(jobs.noop, ping=address)
    monitor.answer = status(500)
    send_all(later())
    monitor.answer = status(200)
    send_all(later() + MINUTE)
    send_all(later() + MINUTE)
    keys = [one.headers["Idempotency-Key"] for one in monitor.received]
    assert keys[0] == keys[1] != keys[2]


def test_an_address_appears_in_no_error_and_no_payload(monitor, address, caplog):
    monitor.answer = status(404)
    carried_out(jobs.noop, ping=address)
    errors = send_all(later())
    assert [str(error) for error in errors] == ["The server answered 404 Not Found"]
    for message in OutboxMessage.objects.all():
        assert SECRET not in f"{message} {message.payload} {message.error} {message.channel}"
        assert message.event == Event.PING
    assert SECRET not in caplog.text


def started(**fields):
    """Return a run that is running, and the moment."""
    scheduled("@yearly", label="report", **fields).run_now()
    now = NOON + MINUTE
    (run,) = claim(worker(now), ["default"], 1, now)
    return run, now


@pytest.mark.parametrize("address", ["http://[::1", "nonsense", "file:///etc/passwd"])
def test_an_address_that_no_validator_has_seen_stops_no_run(at_time, address):
    at_time(NOON)
    task = scheduled("@yearly", label="report")
    task.run_now()
    Task.objects.update(ping=address)
    (run,) = claim(worker(NOON + MINUTE), ["default"], 1, NOON + MINUTE)
    assert run.state == "running"
    (error,) = send_all(NOON + MINUTE)
    assert str(error).startswith("ping must be an address such as")


def test_a_start_that_is_rolled_back_sends_no_ping(address, at_time):
    at_time(NOON)
    with transaction.atomic():
        started(ping=address)
        assert OutboxMessage.objects.count() == 1
        transaction.set_rollback(True)
    assert not OutboxMessage.objects.exists()


def test_the_outcome_and_its_ping_are_one_transaction(address, at_time, monkeypatch):
    at_time(NOON)
    run, now = started(ping=address)
    outcome = Outcome(now, now, state="succeeded")

    def fails(*args, **kwargs):
        raise RuntimeError("no outbox")

    monkeypatch.setattr("sisy.models.outbox.OutboxQuerySet.bulk_create", fails)
    with pytest.raises(RuntimeError):
        record("default", [(run, outcome)], now)
    assert Run.objects.get(pk=run.pk).state == "running"
    monkeypatch.undo()
    at_time(NOON)
    record("default", [(run, outcome)], now)
    assert Run.objects.get(pk=run.pk).state == "succeeded"
    assert OutboxMessage.objects.filter(key=f"ping:{run.pk}:end").count() == 1


@pytest.mark.parametrize("has_ping", [False, True])
def test_only_tasks_with_an_address_cost_a_statement(address, at_time, has_ping):
    at_time(NOON)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        run, now = started(ping=address if has_ping else "")
        record("default", [(run, Outcome(now, now, state="succeeded"))], now)
    writes = [one["sql"] for one in queries if re.search("sisy_outbox", one["sql"])]
    assert len(writes) == (2 if has_ping else 0)


async def test_a_monitor_that_hangs_delays_only_its_own_pings(monitor, address, monkeypatch):
    monkeypatch.setattr("sisy.alerting.pings.http.TIMEOUT", 60)
    with http_server() as other:
        monitor.answer = monitor.hangs
        await sync_to_async(carried_out)(jobs.noop, ping=address)
        other_address = other.url.replace("127.0.0.1", "localhost")
        await sync_to_async(carried_out)(jobs.noop, ping=other_address)
        sender = Sender("default")
        async with sender.running():
            sender.wake()
            async with asyncio.timeout(60):
                while len(other.received) < 2:
                    sender.wake()
                    await asyncio.sleep(0.05)
        assert len(monitor.received) == 1
        monitor.is_over.set()
