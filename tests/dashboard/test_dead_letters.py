"""The overview says that messages could not be sent."""

import pytest

from sisy.models import OutboxMessage
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.messages import post
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def overview(*permissions):
    return browser_of("view_task", *permissions).get("/sisy/")


def test_it_counts_dead_letters_and_leads_to_their_errors():
    assert "could not be sent" not in text_of(overview())
    for number in range(2):
        post(f"alert-{number}", channel="webhook")
    assert "could not be sent" not in text_of(overview())
    OutboxMessage.objects.update(failed_at=NOON, next_attempt_at=None)
    page = overview("view_outboxmessage")
    assert "2 messages could not be sent." in text_of(page)
    assert "/admin/sisy/outboxmessage/?failed_at__isempty=0" in page.content.decode()


def test_without_the_permission_it_names_the_command():
    post(channel="webhook")
    OutboxMessage.objects.update(failed_at=NOON, next_attempt_at=None)
    page = overview()
    assert "1 message could not be sent. Run 'manage.py sisy_alerts messages'" in text_of(page)
    assert "outboxmessage" not in page.content.decode()
