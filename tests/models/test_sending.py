"""Messages are claimed before they are sent, tried again, and kept if that does not help."""

from datetime import timedelta

import pytest

from sisy.alerting import sending
from sisy.alerting.delivery import NotDelivered
from sisy.models import Event, OutboxMessage
from tests.support.messages import post
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

FAILED = NotDelivered("The server answered 500 Internal Server Error", 500)


@pytest.fixture(autouse=True)
def _there_is_an_admin(settings):
    settings.ADMINS = ["ann@example.com"]


def claim(now=NOON, channel="email"):
    return sending.claim("default", now, channel)


def fail(message, now=NOON):
    sending.record_failure("default", now, message, FAILED)


def stored():
    return OutboxMessage.objects.get()


def test_a_message_is_claimed_once():
    post()
    assert claim().key == "alert-1"
    assert claim() is None


def test_after_the_death_of_its_sender_a_message_is_claimed_again():
    post()
    first = claim()
    assert claim(NOON + sending.CLAIM - SECOND) is None
    again = claim(NOON + sending.CLAIM)
    assert (again.pk, again.key, again.attempts) == (first.pk, first.key, 2)


def test_a_sent_message_is_never_claimed_again():
    post()
    sending.record_sent("default", NOON, claim())
    assert (stored().sent_at, stored().next_attempt_at) == (NOON, None)
    assert claim(NOON + DAY) is None


def test_a_success_is_recorded_even_after_the_claim_has_expired():
    post()
    slow = claim()
    claim(NOON + sending.CLAIM)
    sending.record_sent("default", NOON + sending.CLAIM, slow)
    assert stored().sent_at
    assert claim(NOON + DAY) is None


def test_a_failure_of_an_expired_claim_changes_nothing():
    post()
    slow = claim()
    again = claim(NOON + sending.CLAIM)
    sending.record_sent("default", NOON + sending.CLAIM, again)
    fail(slow, NOON + 2 * sending.CLAIM)
    assert (stored().error, stored().next_attempt_at) == ("", None)


def test_a_failed_message_is_retried_at_growing_intervals_and_then_kept():
    post()
    now, delays = NOON, []
    while message := claim(now):
        fail(message, now)
        if (following := stored().next_attempt_at) is None:
            break
        delays.append(following - now)
        now = following
    assert delays[0] <= 5 * SECOND
    assert all(delay <= HOUR for delay in delays)
    assert delays[:4] == sorted(delays[:4])
    assert timedelta(hours=20) < now - NOON < timedelta(hours=26)
    assert stored().failed_at == now
    assert stored().error == str(FAILED)
    assert OutboxMessage.objects.dead().count() == 1
    assert OutboxMessage.objects.unsent().count() == 0


def test_a_message_that_kills_each_of_its_senders_becomes_a_dead_letter():
    post()
    now = NOON
    for _ in range(sending.MAX_ATTEMPTS):
        assert claim(now)
        now += sending.CLAIM
    assert claim(now) is None
    assert "died before it could record the result" in stored().error
    assert OutboxMessage.objects.dead().count() == 1


def test_a_dead_letter_is_sent_again_on_request_with_the_same_key():
    post()
    OutboxMessage.objects.update(attempts=28, next_attempt_at=None, failed_at=NOON, error="500")
    assert sending.resend(OutboxMessage.objects.all(), NOON + HOUR) == 1
    message = claim(NOON + HOUR)
    assert (message.key, message.attempts, message.failed_at) == ("alert-1", 1, None)


def test_only_dead_letters_are_sent_again():
    post()
    sending.record_sent("default", NOON, claim())
    post("alert-2")
    assert sending.resend(OutboxMessage.objects.all(), NOON) == 0


def test_messages_of_another_channel_are_left_to_its_sender():
    post(channel="slack")
    assert claim() is None
    assert sending.due_channels("default", NOON) == ["slack"]


def test_the_message_that_has_been_due_longest_is_claimed_first():
    for number in range(3):
        post(f"alert-{number}")
    OutboxMessage.objects.filter(key="alert-2").update(next_attempt_at=NOON - HOUR)
    assert [claim().key for _ in range(3)] == ["alert-2", "alert-0", "alert-1"]


def test_a_recovery_waits_for_the_message_about_its_alert():
    post()
    fail(claim())
    post("alert-1-over", Event.RECOVERED, thread="alert-1")
    assert claim() is None
    opened = claim(NOON + 5 * SECOND)
    assert opened.key == "alert-1"
    sending.record_sent("default", NOON + 5 * SECOND, opened)
    assert claim(NOON + MINUTE + 7 * SECOND).key == "alert-1-over"


def test_a_recovery_is_sent_even_if_its_alert_never_was():
    post()
    OutboxMessage.objects.update(next_attempt_at=None, failed_at=NOON)
    post("alert-1-over", Event.RECOVERED, thread="alert-1")
    assert claim().key == "alert-1-over"


def test_a_payload_that_cannot_be_read_stops_no_other_message():
    post("alert-1")
    post("alert-2")
    OutboxMessage.objects.filter(key="alert-1").update(payload={"notices": [{"kind": 5}]})
    bad, good = claim(), claim()
    assert (bad.key, good.key) == ("alert-1", "alert-2")

    def channel():
        from sisy.alerting.email import EmailChannel

        return EmailChannel(["ann@example.com"])

    assert "could not be created" in str(sending.attempt(channel, bad))
    assert sending.attempt(channel, good) is None


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), KeyboardInterrupt()])
def test_whatever_a_channel_raises_is_a_failure(error):
    class Channel:
        def send(self, message):
            raise error

    post()
    assert type(error).__name__ in str(sending.attempt(Channel, claim()))


def test_an_error_is_stored_on_one_line_without_control_characters():
    post()
    sending.record_failure("default", NOON, claim(), NotDelivered("a\r\nb\x1b" + "x" * 900))
    assert stored().error.isprintable()
    assert len(stored().error) == 500


def test_a_ping_leaves_no_row_behind():
    post(event=Event.PING, channel="ping")
    sending.record_sent("default", NOON, claim(channel="ping"))
    assert not OutboxMessage.objects.exists()


def test_a_ping_is_given_up_after_some_minutes():
    post(event=Event.PING, channel="ping")
    now = NOON
    while message := claim(now, "ping"):
        fail(message, now)
        now = stored().next_attempt_at or now
    assert stored().failed_at - NOON < 10 * MINUTE


def test_sent_messages_and_dead_letters_are_deleted_with_the_history(settings):
    settings.SISY_HISTORY_DAYS = 30
    for number in range(4):
        post(f"alert-{number}")
    rows = OutboxMessage.objects
    rows.filter(key="alert-0").update(sent_at=NOON - 31 * DAY, next_attempt_at=None)
    rows.filter(key="alert-1").update(failed_at=NOON - 31 * DAY, next_attempt_at=None)
    rows.filter(key="alert-2").update(sent_at=NOON - 29 * DAY, next_attempt_at=None)
    rows.filter(key="alert-3").update(created_at=NOON - 31 * DAY)
    assert sending.prune("default", NOON) == 2
    assert [row.key for row in rows.all()] == ["alert-2", "alert-3"]


def test_all_messages_are_kept_if_the_history_is(settings):
    settings.SISY_HISTORY_DAYS = 0
    post()
    OutboxMessage.objects.update(sent_at=NOON - 9999 * DAY)
    assert sending.prune("default", NOON) == 0
