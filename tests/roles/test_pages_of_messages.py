"""A heartbeat's look reads a few pages, however many messages were sent under an old snapshot."""

from datetime import timedelta

import pytest
from django.db import connection

from sisy.models import Event, OutboxMessage, Process, Role
from sisy.store import due
from tests.roles.test_pages_of_a_look import FURTHER_PAGES, pages_of
from tests.support.moments import HOUR, NOON, SECOND

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("noon"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="it says what it reads"),
]

MESSAGES = 3000


def test_a_look_does_not_read_the_entries_of_messages_that_were_sent():
    mine = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=HOUR)
    looked = {"process": mine.pk, "since": NOON - SECOND, "due_since": NOON - SECOND}
    since = NOON - due.MESSAGE_WINDOW
    before = pages_of(due.LOOK_AHEAD, messages_since=since, **looked)
    OutboxMessage.objects.bulk_create(
        OutboxMessage(
            key=f"{number}",
            channel="email",
            event=Event.OPENED,
            created_at=NOON,
            next_attempt_at=NOON - HOUR + timedelta(milliseconds=number),
        )
        for number in range(MESSAGES)
    )
    # No dead row can be removed in the transaction that made it, as if a snapshot were held.
    OutboxMessage.objects.update(next_attempt_at=None, sent_at=NOON)
    after = pages_of(due.LOOK_AHEAD, messages_since=since, **looked)
    assert after <= before + FURTHER_PAGES
    from_the_beginning = pages_of(due.LOOK_AHEAD, messages_since=NOON - 2 * HOUR, **looked)
    assert from_the_beginning > 10 * FURTHER_PAGES + after
