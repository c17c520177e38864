"""A person who handles an alert keeps the place, and the message about it covers nothing."""

from contextlib import contextmanager

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from sisy.models import Alert, task_with_callable
from sisy.records.problems import Kind
from tests.app import jobs
from tests.browser.conftest import WIDTHS
from tests.support.moments import HOUR
from tests.support.records import open_alert

LETTERS = "abcdefghijkl"  # alerts whose texts differ only in numbers share a row


@contextmanager
def alerts():
    """Store alerts whose heartbeat has not looked at them yet, the first row first."""
    now = timezone.now()
    tasks = [
        task_with_callable(jobs.noop, label=f"import {letter}", schedule="0 0 1 1 *")
        for letter in LETTERS
    ]
    for task in reversed(tasks):
        task.save()
        # It waits to be reported, so no heartbeat closes it.
        open_alert(task, Kind.SLOW, now, why=f"{task.label} is slow.", notify_at=now + HOUR)
    yield
    Alert.objects.all().delete()
    for task in tasks:
        task.delete()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_next_alert_is_in_sight_below_the_message_and_the_message_can_go(look, address, width):
    with alerts(), look(address) as window:
        window.set_viewport_size({"width": width, "height": 780})
        window.goto(f"{address}/sisy/")
        row = window.locator(".sisy-alert", has_text="import e is slow")
        row.get_by_role("button", name="Acknowledge").click()
        message = window.locator(".sisy-messages")
        expect(message).to_contain_text("Acknowledged: too slow: import e.")
        following = window.locator(".sisy-alert", has_text="import f is slow")
        head, words = following.bounding_box(), message.bounding_box()
        assert words["y"] + words["height"] <= head["y"] <= 200
        window.get_by_role("link", name="Show", exact=True).click()
        head = window.locator(".sisy-alert", has_text="import e is slow").bounding_box()
        assert words["y"] + words["height"] <= head["y"] < 780
        window.get_by_role("button", name="Dismiss").click()
        expect(message).to_have_count(0)
