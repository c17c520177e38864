"""What does the list of queues show?"""

import pytest

from sisy.models import Queue
from tests.admin.pages import QUEUES, page_of, rows_of, text_of
from tests.admin.people import browser_of, browser_of_superuser

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_a_row_shows_who_paused_a_queue_and_when_and_why():
    Queue.objects.pause("mail", "Too hot.", by="Sam")
    Queue.objects.pause("reports")
    Queue.objects.resume("reports")
    rows = rows_of(browser_of("view_queue").get(QUEUES))
    assert rows == ["mail 12:00:00 now - Sam Too hot.", "reports - - - -"]


def test_looking_needs_its_permission():
    assert browser_of("view_task", "pause_task").get(QUEUES).status_code == 403


def test_rows_cannot_be_added_changed_or_deleted_by_hand():
    Queue.objects.pause("mail")
    queue, browser = Queue.objects.get(), browser_of_superuser()
    assert browser.get(f"{QUEUES}add/").status_code == 403
    assert browser.post(page_of(queue), {"name": "other"}).status_code == 403
    assert browser.post(f"{QUEUES}{queue.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "Paused: 12:00:00 now" in text_of(browser.get(page_of(queue)))
