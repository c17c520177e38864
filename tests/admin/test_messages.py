"""The list of messages shows what became of each, and sends dead letters again."""

import pytest

from sisy.models import OutboxMessage
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.messages import WHY, post
from tests.support.moments import NOON

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

MESSAGES = "/admin/sisy/outboxmessage/"


@pytest.fixture
def dead():
    [message] = post(channel="webhook")
    OutboxMessage.objects.filter(pk=message.pk).update(
        attempts=28, next_attempt_at=None, failed_at=NOON, error="The server answered 500"
    )
    return message


def act(browser, message):
    data = {"action": "resend", "_selected_action": [message.pk]}
    return browser.post(MESSAGES, data, follow=True)


def test_a_row_shows_the_channel_and_the_error_but_no_content(dead):
    for path in (MESSAGES, f"{MESSAGES}{dead.pk}/change/"):
        shown = browser_of("view_outboxmessage").get(path).content.decode()
        assert "Failing: invoices" in shown
        assert "The server answered 500" in shown
        assert "KeyError" not in shown
        assert WHY not in shown


def test_looking_needs_its_permission(dead):
    assert browser_of("view_task").get(MESSAGES).status_code == 403


def test_dead_letters_are_sent_again(dead):
    answer = act(browser_of("view_outboxmessage", "change_outboxmessage"), dead)
    assert "1 message will be sent again." in answer.content.decode()
    dead.refresh_from_db()
    assert (dead.attempts, dead.next_attempt_at, dead.failed_at) == (0, NOON, None)


def test_sending_again_needs_its_permission(dead):
    act(browser_of("view_outboxmessage"), dead)
    dead.refresh_from_db()
    assert dead.failed_at == NOON


def test_messages_cannot_be_added_changed_or_deleted_by_hand(dead):
    browser = browser_of_superuser()
    assert browser.get(f"{MESSAGES}add/").status_code == 403
    assert browser.post(f"{MESSAGES}{dead.pk}/delete/", {"post": "yes"}).status_code == 403
