"""``manage.py sisy_alerts``: test the channels, and send dead letters again."""

import pytest
from django.core.management import CommandError

from sisy.models import OutboxMessage
from tests.commands.calling import said, seen, told
from tests.support.http_server import http_server, status
from tests.support.messages import post
from tests.support.moments import HOUR, NOON
from tests.support.smtp_server import mail_server, send_to

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

SECRET = "5bf66975-d4c7-4bf5"


@pytest.fixture
def servers(settings):
    with mail_server() as mails, http_server() as hook:
        send_to(settings, mails.port)
        settings.ADMINS = ["ann@example.com"]
        settings.SISY_WEBHOOK_SECRET = "a-secret-of-the-tests"
        settings.SISY_ALERTS = ["email", f"{hook.url}/{SECRET}"]
        yield mails, hook


def failure_of(line, capsys=None):
    with pytest.raises(CommandError) as caught:
        said(line)
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_test_goes_through_each_channel(servers):
    mails, hook = servers
    rows = told("sisy_alerts test")
    assert [(row["channel"], row["result"], row["error"]) for row in rows] == [
        ("email", "sent", ""),
        ("webhook", "sent", ""),
    ]
    assert mails.received[0]["Subject"] == "[Sisy] Test message"
    assert len(hook.received) == 1
    assert not OutboxMessage.objects.exists()


def test_a_channel_that_fails_is_named_and_the_others_are_tested(servers):
    mails, hook = servers
    hook.answer = status(403)
    error = failure_of("sisy_alerts test")
    assert (str(error), error.returncode) == ("Not sent: webhook.", 1)
    assert len(mails.received) == 1


def test_single_channels_can_be_tested(servers):
    mails, hook = servers
    said("sisy_alerts test webhook")
    assert (len(mails.received), len(hook.received)) == (0, 1)


def test_an_unknown_channel_is_rejected_with_the_nearest_one(servers):
    assert "Did you mean 'webhook'?" in str(failure_of("sisy_alerts test webhok"))


def test_a_test_fails_without_recipients(settings):
    settings.ADMINS = []
    assert str(failure_of("sisy_alerts test")) == "Not sent: email."
    settings.SISY_ALERTS = []
    assert "SISY_ALERTS is empty" in str(failure_of("sisy_alerts test"))


def dead(key="alert-1"):
    [message] = post(key, channel="webhook")
    OutboxMessage.objects.filter(pk=message.pk).update(
        attempts=28, next_attempt_at=None, failed_at=NOON, error="The server answered 500"
    )
    return message.pk


def test_messages_that_were_not_delivered_are_listed(monkeypatch):
    assert said("sisy_alerts messages").strip() == "Every message was sent."
    pk = dead()
    post("alert-2", channel="webhook")
    [retried] = post("alert-3", channel="webhook")
    OutboxMessage.objects.filter(pk=retried.pk).update(
        attempts=1, next_attempt_at=NOON + HOUR, error="The server answered 500"
    )
    newest, oldest = told("sisy_alerts messages")
    assert (newest["id"], oldest["id"]) == (retried.pk, pk)
    assert newest["next_attempt"]
    assert oldest["next_attempt"] is None
    assert oldest["subject"] == "Failing: invoices"
    assert "The server answered 500" in said("sisy_alerts messages")
    text = seen("sisy_alerts messages", monkeypatch)
    assert max(map(len, text.splitlines())) <= 80
    assert "manage.py sisy_alerts resend" in text


def test_a_message_that_cannot_be_read_is_listed():
    pk = dead()
    OutboxMessage.objects.filter(pk=pk).update(payload={"notices": [5]})
    assert told("sisy_alerts messages")[0]["subject"] == "Unreadable message"


def test_dead_letters_are_sent_again():
    first, second = dead(), dead("alert-2")
    assert told(f"sisy_alerts resend {first}") == {"resent": 1}
    assert told("sisy_alerts resend") == {"resent": 1}
    due = OutboxMessage.objects.due(NOON)
    assert sorted(due.values_list("pk", "attempts")) == [(first, 0), (second, 0)]
    assert failure_of("sisy_alerts resend").returncode == 1


def test_a_message_that_does_not_exist_is_named_and_none_is_resent():
    pk = dead()
    error = failure_of(f"sisy_alerts resend {pk} 4711")
    assert str(error).startswith("Message 4711 does not exist")
    assert error.returncode == 1
    assert not OutboxMessage.objects.due(NOON).exists()
