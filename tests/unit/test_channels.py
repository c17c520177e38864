"""Each channel delivers to a real server on this host, and says why it could not."""

import base64
import hashlib
import hmac
import json
import logging
import socket

import pytest
import sentry_sdk

from sisy import clock
from sisy.alerting.apprise_channel import INVALID, MISSING, AppriseChannel
from sisy.alerting.channels import channel_named
from sisy.alerting.delivery import NotDelivered, without_secrets
from sisy.models import Event
from tests.support.http_server import http_server, status
from tests.support.messages import WHY, message, notice, recovery
from tests.support.sentry import breadcrumbs_of_requests
from tests.support.smtp_server import mail_server, send_to

SECRET = "5bf66975-d4c7-4bf5"


@pytest.fixture
def mails(settings):
    with mail_server() as server:
        send_to(settings, server.port)
        settings.ADMINS, settings.SERVER_EMAIL = ["ann@example.com"], "shop@example.com"
        yield server


@pytest.fixture
def hook(settings):
    with http_server() as server:
        settings.SISY_ALERTS = [f"{server.url}/{SECRET}"]
        settings.SISY_WEBHOOK_SECRET = f"{SECRET}-and-more"
        yield server


def send(name="email", event=Event.OPENED, *notices, **columns):
    channel_named(name).send(message(event, *notices, channel=name, **columns))


def error_of(name="email", event=Event.OPENED, **columns):
    with pytest.raises(NotDelivered) as caught:
        send(name, event, **columns)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# E-mail


def test_admins_get_a_mail_as_text_and_html(mails):
    send()
    [mail] = mails.received
    assert mails.recipients == [["ann@example.com"]]
    assert (mail["Subject"], mail["From"]) == ("[Sisy] Failing: invoices", "shop@example.com")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert f"Why: {WHY}\r\n" in mail.get_body(["plain"]).get_content()
    assert "<h2" in mail.get_body(["html"]).get_content()


def test_a_channel_may_have_recipients_of_its_own(mails, settings):
    settings.SISY_ALERTS = {"ops": "email:bob@example.com, eve@example.com"}
    send("ops")
    assert mails.recipients == [["bob@example.com", "eve@example.com"]]


def test_each_attempt_has_the_same_message_id_and_a_recovery_refers_to_it(mails):
    send()
    send()
    send("email", Event.RECOVERED, recovery("alert-1"), key="alert-1-over")
    first, again, over = mails.received
    assert first["Message-ID"] == again["Message-ID"]
    assert over["In-Reply-To"] == over["References"] == first["Message-ID"]
    assert over["Message-ID"] != first["Message-ID"]
    assert first["In-Reply-To"] is None


def test_the_message_id_names_the_host_of_the_site(mails, settings):
    settings.SISY_SITE_URL = "https://shop.example.com/"
    send()
    assert mails.received[0]["Message-ID"].endswith("@shop.example.com>")


def test_a_hostile_label_adds_no_header(mails):
    send("email", Event.OPENED, notice(what="a\r\nBcc: eve@example.com"))
    [mail] = mails.received
    assert mail["Bcc"] is None
    assert mail["Subject"] == r"[Sisy] Failing: a\r\nBcc: eve@example.com"


def test_a_refusal_is_quoted(mails):
    mails.answer = "554 Rejected by policy"
    assert error_of() == "The server answered 554 Rejected by policy"


def test_a_mail_server_that_hangs_is_left_after_a_timeout(settings):
    settings.ADMINS = ["ann@example.com"]
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        send_to(settings, silent.getsockname()[1], timeout=0.2)
        assert error_of() == "There was no answer in time"


def test_a_project_without_a_timeout_gets_one(monkeypatch, settings):
    settings.ADMINS = ["ann@example.com"]
    send_to(settings, 25)
    given = []
    monkeypatch.setattr(
        "django.core.mail.backends.smtp.EmailBackend.send_messages",
        lambda self, mails: given.append(self.timeout),
    )
    send()
    assert given == [10.0]


def test_a_mail_server_that_is_down_is_an_error(settings):
    settings.ADMINS = ["ann@example.com"]
    send_to(settings, closed_port())
    assert "refused" in error_of().lower()


def test_a_backend_that_cannot_be_made_is_an_error(settings, monkeypatch):
    settings.ADMINS = ["ann@example.com"]

    def fail():
        raise ImportError("No module named 'shop'")

    monkeypatch.setattr("sisy.alerting.email._backend", fail)
    assert "No module named 'shop'" in error_of()


@pytest.mark.parametrize("admins", [[], [""], [("Ann", " ")]])
def test_without_recipients_the_error_says_what_to_set(settings, admins):
    settings.ADMINS = admins
    assert "Set ADMINS" in error_of()


def test_the_password_of_the_mail_server_is_in_no_error(settings, monkeypatch):
    settings.ADMINS = ["ann@example.com"]
    send_to(settings, 25, password=SECRET)

    def reject(self, mails):
        raise ValueError(f"bad password {self.password}")

    monkeypatch.setattr("django.core.mail.backends.smtp.EmailBackend.send_messages", reject)
    assert error_of() == "ValueError: bad password •••"


# Webhooks


def header(request, name):
    """Return a header, whatever the case of its name."""
    return {key.lower(): value for key, value in request.headers.items()}[name.lower()]


def verified(request, secret=f"{SECRET}-and-more"):
    """Verify a request as the manual shows, and return what it says."""
    name, timestamp = header(request, "webhook-id"), header(request, "webhook-timestamp")
    signed = b".".join((name.encode(), timestamp.encode(), request.body))
    expected = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()
    assert header(request, "webhook-signature") == f"v1,{expected}"
    return json.loads(request.body)


def test_a_webhook_gets_signed_json(hook, settings):
    settings.SISY_SITE_URL = "https://example.com"
    send("webhook", Event.OPENED, notice(run=7, task=3))
    [request] = hook.received
    found = verified(request)
    assert (request.method, request.path) == ("POST", f"/{SECRET}")
    assert header(request, "Content-Type") == "application/json"
    assert header(request, "Idempotency-Key") == header(request, "webhook-id") == "alert-1"
    assert (
        abs(int(header(request, "webhook-timestamp")) - clock.last_known("default").timestamp())
        < 60
    )
    assert (found["event"], found["key"]) == ("opened", "alert-1")
    assert found["subject"] == "[Sisy] Failing: invoices"
    [alert] = found["alerts"]
    assert (alert["kind"], alert["what"], alert["why"]) == ("failing", "invoices", WHY)
    assert alert["link"] == "https://example.com/sisy/runs/7/"


def test_the_signature_is_that_of_the_specification():
    """The example of https://www.standardwebhooks.com."""
    from sisy.alerting.webhook import signature

    secret = "whsec_" + base64.b64encode(b"a secret of 24 bytes....").decode()
    body = b'{"event_type":"ping"}'
    digest = hmac.digest(b"a secret of 24 bytes....", b"msg_1.1674087231." + body, hashlib.sha256)
    found = signature("msg_1", "1674087231", body, secret)
    assert base64.b64decode(found) == digest


def test_a_key_that_is_not_ascii_is_quoted(hook):
    send("webhook", key="täglich\r\nX: 1")
    assert header(hook.received[0], "Idempotency-Key") == "t%C3%A4glich%0D%0AX%3A%201"


def test_the_same_key_comes_with_each_attempt(hook):
    hook.answer = status(500)
    assert error_of("webhook") == "The server answered 500 Internal Server Error"
    hook.answer = status(200)
    send("webhook")
    assert [header(one, "Idempotency-Key") for one in hook.received] == ["alert-1", "alert-1"]


def test_without_a_secret_nothing_is_sent(hook, settings):
    settings.SISY_WEBHOOK_SECRET = ""
    assert "SISY_WEBHOOK_SECRET is not set" in error_of("webhook")
    assert hook.received == []


# Apprise


@pytest.fixture
def service(settings):
    with http_server() as server:
        settings.SISY_ALERTS = {"chat": f"{server.url.replace('http', 'json')}/{SECRET}"}
        yield server


def test_apprise_delivers_to_any_service(service):
    send("chat")
    [request] = service.received
    found = json.loads(request.body)
    assert found["title"] == "[Sisy] Failing: invoices"
    assert WHY in found["message"]
    assert found["type"] == "failure"


@pytest.mark.parametrize(("event", "kind"), [(Event.RECOVERED, "success"), (Event.TEST, "info")])
def test_apprise_learns_whether_the_news_is_good(service, event, kind):
    send("chat", event)
    assert json.loads(service.received[0].body)["type"] == kind


def test_an_error_of_apprise_is_quoted_without_the_address(service, caplog):
    caplog.set_level(logging.DEBUG)
    service.answer = status(500)
    assert "500" in error_of("chat")
    assert SECRET not in caplog.text


def test_sentry_does_not_keep_the_address_of_apprise(service, monkeypatch):
    with breadcrumbs_of_requests(monkeypatch) as transport:
        send("chat")
        sentry_sdk.capture_message("later")
        assert SECRET not in str(transport.events)
    assert len(service.received) == 1


def test_an_address_that_apprise_does_not_know_is_an_error(settings, caplog):
    caplog.set_level(logging.DEBUG)
    settings.SISY_ALERTS = {"chat": f"nonsense://{SECRET}"}
    assert error_of("chat") == INVALID
    assert SECRET not in caplog.text


def test_without_apprise_the_error_names_the_extra(service, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    assert error_of("chat") == MISSING


def test_log_lines_of_other_threads_are_left_alone(caplog):
    import threading

    from sisy.alerting.apprise_channel import _captured_log

    with _captured_log() as lines:
        other = threading.Thread(target=logging.getLogger("apprise").warning, args=("theirs",))
        other.start()
        other.join(10)
        logging.getLogger("apprise").warning("ours")
    assert lines == ["ours"]
    assert "theirs" in caplog.text
    assert "ours" not in caplog.text


def test_no_channel_shows_its_address():
    assert SECRET not in repr(AppriseChannel(f"slack://{SECRET}"))


def test_a_channel_that_is_not_configured_is_an_error():
    assert error_of("gone") == "SISY_ALERTS has no channel 'gone'."


def test_the_parts_of_an_address_are_removed_from_words():
    address = "slack://T1AB/xoxb%2F12@chan?token=abcdef"
    words = "T1AB and xoxb/12 and xoxb%2F12 and abcdef in slack"
    assert without_secrets(words, address) == "••• and ••• and ••• and ••• in slack"
