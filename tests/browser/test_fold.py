"""What folds on a phone, so that the state of a task, its alerts and its runs come first."""

import re
from datetime import timedelta

import pytest
from django.db import router
from playwright.sync_api import expect

from sisy import clock
from sisy.models import Run, RunState, task_with_callable
from sisy.records.problems import Kind
from tests.app import jobs
from tests.browser.test_phone import PHONE, TARGETS
from tests.support.records import open_alert

FOLDED = (".uplot", ".sisy-year svg", ".sisy-coming", "#sisy-about dl", ".sisy-revisions")
OPEN = ("#sisy-head", "#alerts", ".sisy-verbs", "#sisy-errors tbody", "#sisy-ledger tbody")
MAX_HEIGHT = 4000


@pytest.fixture
def busy_one(site, django_db_blocker):
    """A task with an open alert, and with more runs than a phone shows at once."""
    with django_db_blocker.unblock():
        now = clock.now(router.db_for_write(Run))
        task = task_with_callable(jobs.noop, label="busy", schedule="30 4 1 1 *")
        task.save()
        for age in range(13, 0, -1):
            begin = now - timedelta(hours=age)
            task.new_run(
                now=begin,
                due_at=begin,
                ready_at=begin,
                state=RunState.FAILED,
                reason="ValueError: no anvils",
                error="Traceback\nValueError: no anvils",
                error_class="ValueError",
                attempt=1,
                started_at=begin,
                finished_at=begin + timedelta(minutes=3),
            ).save()
        task.label = "very busy"
        task.save()
        notify_at, why = now + timedelta(days=1), "No run has succeeded for 13 h."
        alert = open_alert(task, Kind.SILENT, now, why=why, notify_at=notify_at)
        yield task
        alert.delete()
        task.delete()


def test_a_phone_shows_the_state_alerts_and_runs_of_a_task_first(look, address, busy_one):
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/{busy_one.pk}/")
        for part in (*OPEN, *FOLDED):
            expect(window.locator(part).first).to_be_visible()
        expect(window.locator(".sisy-fold:visible")).to_have_count(0)
        assert window.locator("#sisy-ledger tbody tr:visible").count() == 13
        window.set_viewport_size(PHONE)
        for part in OPEN:
            expect(window.locator(part).first).to_be_visible()
        for part in FOLDED:
            expect(window.locator(part).first).to_be_hidden()
        expect(window.locator("#sisy-ledger tbody tr:visible")).to_have_count(10)
        assert window.evaluate("document.documentElement.scrollHeight") < MAX_HEIGHT
        targets = ".sisy-fold, .sisy-verbs > :is(a, button), .sisy-note-form > summary"
        assert min(window.evaluate(TARGETS, targets)) >= 44


def test_opened_sections_of_a_task_stay_open_when_the_page_refreshes(look, address, busy_one):
    with look(address) as window:
        window.set_viewport_size(PHONE)
        window.goto(f"{address}/sisy/tasks/{busy_one.pk}/")
        for part in (".sisy-history", "#sisy-changes", "#sisy-ledger"):
            window.locator(f"{part} .sisy-fold").click()
        expect(window.locator(".u-axis")).to_have_count(4)
        with window.expect_response(re.compile("parts=.*ledger")):
            busy_one.run_now()
        expect(window.locator("#sisy-ledger tbody tr:visible")).to_have_count(14)
        expect(window.locator(".sisy-revisions").first).to_be_visible()
        expect(window.locator(".uplot").first).to_be_visible()


def test_a_link_to_a_folded_section_opens_it(look, address, busy_one):
    with look(address) as window:
        window.set_viewport_size(PHONE)
        window.goto(f"{address}/sisy/tasks/{busy_one.pk}/#policies")
        expect(window.locator("#sisy-about dl")).to_be_visible()
        expect(window.locator("#policies")).to_be_in_viewport()
        expect(window.locator(".sisy-year svg").first).to_be_hidden()
        window.evaluate("location.hash = '#year'")
        expect(window.locator(".sisy-year svg").first).to_be_visible()
        oldest = Run.objects.filter(task=busy_one).earliest("pk")
        window.evaluate(f"location.hash = '#run-{oldest.pk}'")
        expect(window.locator(f"#run-{oldest.pk}")).to_be_in_viewport()


def test_a_list_of_ten_runs_is_shown_in_full(look, address, busy_one):
    for run in Run.objects.filter(task=busy_one).order_by("pk")[:3]:
        run.delete()
    with look(address) as window:
        window.set_viewport_size(PHONE)
        window.goto(f"{address}/sisy/tasks/{busy_one.pk}/")
        expect(window.locator("#sisy-about .sisy-fold")).to_be_visible()
        expect(window.locator("#sisy-ledger .sisy-fold")).to_be_hidden()
        expect(window.locator("#sisy-ledger tbody tr:visible")).to_have_count(10)
