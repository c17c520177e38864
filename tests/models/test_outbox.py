"""A message is stored once for each channel, together with the change that it reports."""

import pytest
from django.db import transaction

from sisy.alerting import outbox
from sisy.models import Event, OutboxMessage
from tests.support.moments import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _there_is_an_admin(settings):
    settings.ADMINS = ["ann@example.com"]


def post(key="alert-1", **options):
    outbox.post("default", Event.OPENED, {"task": "invoices"}, key, **options)


def stored():
    return list(OutboxMessage.objects.values_list("key", "channel"))


def test_each_channel_gets_a_message_of_its_own(noon):
    post(channels=["email", "pager", "email"])
    assert stored() == [("alert-1", "email"), ("alert-1", "pager")]
    message = OutboxMessage.objects.first()
    assert (message.event, message.payload) == (Event.OPENED, {"task": "invoices"})
    assert (message.created_at, message.next_attempt_at, message.attempts) == (NOON, NOON, 0)


def test_without_a_choice_the_message_goes_to_the_usual_channels():
    post()
    assert stored() == [("alert-1", "email")]


def test_a_key_that_was_posted_before_is_ignored():
    post(channels=["email"])
    post(channels=["email", "pager"])
    assert stored() == [("alert-1", "email"), ("alert-1", "pager")]


def test_no_message_is_left_of_a_change_that_was_rolled_back():
    with transaction.atomic():
        post()
        transaction.set_rollback(True)
    assert stored() == []


def test_a_message_is_due_from_its_moment_on(noon):
    post(now=NOON)
    assert OutboxMessage.objects.due(NOON).count() == 1
    OutboxMessage.objects.update(next_attempt_at=None)
    assert OutboxMessage.objects.due(NOON).count() == 0
