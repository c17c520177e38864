"""Pages on a phone, and what stands on them wherever the reader is."""

import re
from datetime import timedelta
from functools import partial

import pytest
from django.db import router
from playwright.sync_api import expect

from sisy import clock
from sisy.dashboard.pages import PAGES
from sisy.models import Queue, Run, RunState, TaskChange, task_with_callable
from sisy.records.problems import Kind
from tests.app import jobs
from tests.support.records import open_alert
from tests.support.waiting import wait_until

PHONE = {"width": 390, "height": 844}
LONG = "a task with a rather long label that somebody has typed in full"
MAX_LINES = 10
MAX_LINES_ON_A_PHONE = 12  # a task has its schedule, its latest runs and five figures below it

CUT_OFF = """() => [...document.querySelectorAll('table')]
    .filter((table) => !table.matches('.sisy-heat, [data-sisy-history]'))
    .map((table) => table.closest('.sisy-scroll, .sisy-table, .results') ?? table.parentElement)
    .filter((box) => box.scrollWidth > box.clientWidth + 1)
    .map((box) => box.getAttribute('aria-label') ?? box.className)"""
DOES_NOT_SCROLL = """() => [...document.querySelectorAll('table')]
    .map((table) => table.closest('.sisy-scroll, .sisy-table, .results'))
    .filter((box) => box && box.scrollWidth > box.clientWidth + 1)
    .filter((box) => !['auto', 'scroll'].includes(getComputedStyle(box).overflowX))
    .map((box) => box.className)"""
LINES = """() => Math.max(0, ...[...document.querySelectorAll('tbody tr')].map(
    (row) => (row.getBoundingClientRect().height - 20)  // its padding, and gaps between lines
        / parseFloat(getComputedStyle(row).lineHeight) || 0))"""


@pytest.fixture(scope="module")
def long_ones(site, django_db_blocker):
    """Rows with much to say: long labels and reasons, retries out of order."""
    with django_db_blocker.unblock():
        now = clock.now(router.db_for_write(Run))
        task = task_with_callable(jobs.noop, label=LONG, schedule="20 */2 1-7 * mon-fri")
        task.save()
        for n in range(8):
            planned = now - timedelta(hours=8 - n)
            begin = planned + timedelta(minutes=90 if n == 2 else 1)
            task.new_run(
                now=planned,
                due_at=planned,
                ready_at=planned,
                state=RunState.FAILED if n % 2 else RunState.SUCCEEDED,
                reason="ValueError: " + 12 * "no anvils " if n % 2 else "",
                error="Traceback\nValueError: " + 12 * "no anvils " if n % 2 else "",
                attempt=1,
                started_at=begin,
                finished_at=begin + timedelta(minutes=3),
            ).save()
        missed = task_with_callable(jobs.noop, label="yearly", schedule="30 4 1 1 *")
        missed.save()
        gap = missed.new_run(
            now=now,
            due_at=now - timedelta(hours=30),
            due_until=now - timedelta(hours=20),
            state=RunState.MISSED,
            count=6,
            reason="No heartbeat planned the task in time.",
            finished_at=now,
        )
        gap.save()
        why = "6 occurrences were missed: no heartbeat planned the task in time."
        open_alert(missed, Kind.MISSED, now, why=why, run_id=gap.pk)
        Queue.objects.pause("mail", "the mail server is down, nobody knows for how long", by="Sam")
        task.queue = "slow"
        task.save()
        return task


def paths(task):
    run = Run.objects.filter(task=task).first()
    of_task = dict.fromkeys(("task", "backfill", "reschedule", "revert"), task.pk)
    keys = {**of_task, "run": run.pk}
    change = TaskChange.objects.filter(task_id=task.pk).first()
    for name, (route, view) in PAGES.items():
        if "parts" in vars(view):
            path = route.replace("<int:change>", str(change.pk))
            yield "/sisy/" + re.sub("<int:pk>", str(keys.get(name, "")), path)
    yield "/sisy/tasks/?group=queue"
    yield from ("/admin/sisy/task/", "/admin/sisy/run/", "/admin/sisy/queue/")
    yield from (f"/admin/sisy/task/{task.pk}/change/", f"/admin/sisy/run/{run.pk}/change/")


def test_no_column_is_cut_off_and_no_row_is_twelve_lines_high(look, address, long_ones):
    with look(address) as window:
        window.set_viewport_size(PHONE)
        for path in paths(long_ones):
            window.goto(f"{address}{path}")
            assert window.evaluate("document.documentElement.scrollWidth") <= 390, path
            assert window.evaluate(LINES) < MAX_LINES_ON_A_PHONE, path
            assert window.evaluate(DOES_NOT_SCROLL) == [], path
            if path.startswith("/sisy/"):  # lists of the admin scroll within their cards
                assert window.evaluate(CUT_OFF) == [], path


def test_tables_fit_a_small_laptop(look, address, long_ones):
    with look(address) as window:
        window.set_viewport_size({"width": 1280, "height": 800})
        for path in paths(long_ones):
            window.goto(f"{address}{path}")
            assert window.evaluate(LINES) < MAX_LINES, path
            if path.startswith("/sisy/"):
                assert window.evaluate(CUT_OFF) == [], path


def test_the_history_is_in_the_pages_zone_on_a_24_hour_clock(look, address, long_ones):
    with look(address, timezone_id="America/New_York", locale="en-US") as window:
        window.goto(f"{address}/sisy/tasks/{long_ones.pk}/")
        expect(window.locator(".u-axis")).to_have_count(4)  # two charts, each with its own axis
        window.locator(".u-over").first.hover()
        shown = window.locator(".u-legend .u-series").first.locator(".u-value")
        expect(shown).to_have_text(re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"))
        pointed_at = shown.text_content()
        window.locator("summary").first.click()
        in_table = window.locator("[data-sisy-history] tbody td:first-child").all_text_contents()
        assert pointed_at in in_table
        assert in_table == sorted(in_table)


def test_the_preset_and_the_link_to_a_new_task_follow_typing(look, address):
    with look(address) as window:
        window.goto(f"{address}/sisy/schedule/?schedule=0+3+*+*+*")
        lit = window.locator("[aria-label='Common schedules'] [aria-current]")
        expect(lit).to_have_text("every night at 3")
        expect(window.get_by_text("Add a task with this schedule")).to_be_visible()
        window.fill("[name=schedule]", "61 3 * * *")
        expect(window.locator(".sisy-refusal").first).to_be_visible()
        expect(lit).to_have_count(0)
        expect(window.get_by_text("Add a task with this schedule")).to_have_count(0)
        expect(window.get_by_text("Next runs")).to_have_count(0)
        expect(window.get_by_text("No upcoming occurrences.")).to_have_count(0)
        window.fill("[name=schedule]", "0 * * * *")
        expect(lit).to_have_text("every hour")
        expect(window.get_by_text("Add a task with this schedule")).to_be_visible()


TARGETS = """(selector) => [...document.querySelectorAll(selector)].map((each) => {
    const { width, height } = each.getBoundingClientRect();
    return Math.round(Math.min(width, height));
})"""


def test_what_is_below_the_alerts_opens_on_a_phone_when_it_is_wanted(look, address, long_ones):
    with look(address) as window:
        window.goto(f"{address}/sisy/")
        grid = window.locator(".sisy-grid")
        show = window.locator(".sisy-fold", has_text="of each task")
        expect(grid).to_be_visible()
        expect(show).to_be_hidden()
        window.set_viewport_size(PHONE)
        expect(grid).to_be_hidden()
        expect(window.locator("#alerts")).to_be_visible()
        show.click()
        expect(grid).to_be_visible()
        with window.expect_response(re.compile("parts=.*grid")):
            window.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(window.locator("[data-sisy-link]")).to_have_attribute("data-how", re.compile("."))
        expect(grid).to_be_visible()
        assert min(window.evaluate(TARGETS, ".sisy-grid-row")) >= 44


def test_a_thumb_hits_the_hours_and_the_quarters_of_the_load(look, address, long_ones):
    with look(address) as window:
        window.set_viewport_size(PHONE)
        # What an earlier test has looked at is kept for a minute.
        shown = partial(window.goto, f"{address}/sisy/load/")
        hour = window.locator(".sisy-heat a")
        wait_until(lambda: shown() and hour.count(), "an hour has runs", 70, 70)
        quarters, hours = (
            window.evaluate(TARGETS, f".sisy-{name} a") for name in ("quarters", "heat")
        )
        assert len(quarters) == 96
        assert min(quarters) >= 24
        assert min(hours) >= 44
