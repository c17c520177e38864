"""The frame around all pages and the alerts of the overview, by keyboard and by thumb."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import router
from playwright.sync_api import expect

from sisy import clock
from sisy.models import Alert, task_with_callable
from sisy.records.problems import Kind
from tests.app import jobs
from tests.browser.test_pages import RULES
from tests.support.records import open_alert

SMALLEST_PHONE = {"width": 360, "height": 780}
THUMB = 44  # pixels
FOCUSED = "document.activeElement.textContent.trim().split('\\n')[0]"
LIVE = "[data-sisy-link][data-how=live]"


@pytest.fixture
def alert(site, django_db_blocker):
    """An open alert that heartbeats leave open, because no message has told of it yet."""
    with django_db_blocker.unblock():
        now = clock.now(router.db_for_write(Alert))
        task = task_with_callable(jobs.noop, label="frame", schedule="0 0 1 1 *")
        task.save()
        alert = open_alert(
            task,
            Kind.SILENT,
            now,
            why="No run has succeeded for 2 h.",
            since=now - timedelta(hours=2),
            notify_at=now + timedelta(days=1),
        )
        yield alert
        alert.delete()
        task.delete()


def row_of(window):
    return window.locator(".sisy-alert").filter(has_text="No run has succeeded for 2 h.")


def test_keys_open_pages_the_search_and_the_sheet_of_shortcuts(look, address):
    with look(address) as window:
        window.keyboard.press("?")
        expect(window.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
        window.keyboard.press("Escape")
        expect(window.get_by_role("dialog")).to_have_count(0)
        window.keyboard.press("g")
        window.keyboard.press("t")
        expect(window.get_by_role("heading", level=1)).to_have_text("Tasks")
        window.keyboard.press("/")
        window.keyboard.type("gt?")
        expect(window.locator("[data-sisy-search]")).to_have_value("gt?")
        window.keyboard.press("Enter")
        window.wait_for_url("**/tasks/?search=gt%3F")


def test_the_first_key_skips_the_frame(look, address):
    with look(address) as window:
        window.keyboard.press("Tab")
        assert window.evaluate(FOCUSED) == "Skip to content"
        window.keyboard.press("Enter")
        assert window.evaluate("document.activeElement.id") == "sisy-content"


def test_the_frame_keeps_its_place_on_all_pages(look, address):
    places = set()
    with look(address) as window:
        for path in ("", "tasks/", "runs/", "load/", "fleet/", "schedule/"):
            window.goto(f"{address}/sisy/{path}")
            window.wait_for_selector(LIVE)
            boxes = (
                window.locator(part).bounding_box()
                for part in (".sisy-brand", ".sisy-tabs", ".sisy-search", ".sisy-link", "h1")
            )
            places.add(tuple((box["x"], box["y"]) for box in boxes))
    assert len(places) == 1


def test_moments_are_shown_in_the_zone_of_the_browser(look, address, alert):
    with look(address, timezone_id="Asia/Tokyo") as window:
        window.locator("#sisy-display summary").click()
        window.get_by_role("button", name="Browser").click()
        expect(window.locator("#sisy-display summary")).to_have_text("Settings Asia/Tokyo")
        expect(window.locator("#timeline")).to_contain_text("Asia/Tokyo")


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
def test_the_menu_of_settings_has_a_sign_and_the_zone_at_all_widths(look, address, width):
    with look(address) as window:
        window.set_viewport_size({"width": width, "height": 800})
        menu = window.locator("#sisy-display summary")
        expect(menu.locator("svg")).to_be_visible()
        expect(menu.locator("small")).to_have_text("UTC")
        assert menu.evaluate("(each) => each.scrollWidth - each.clientWidth") <= 0
        word = menu.locator(".sisy-word").bounding_box()
        assert (word["width"] > 30) == (width > 600)
        assert window.evaluate("document.documentElement.scrollWidth") <= width


def test_the_dark_theme_is_chosen_and_accessible(look, address, alert):
    with look(address, color_scheme="light") as window:
        before = window.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        window.locator("#sisy-display summary").click()
        window.get_by_role("button", name="Dark").click()
        expect(window.locator("html")).to_have_attribute("data-theme", "dark")
        after = window.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert before != after
        window.locator("#sisy-display summary").click()
        results = Axe().run(window, options=RULES)
        assert not results.violations_count, results.generate_report()


def test_an_alert_is_acknowledged_muted_and_closed_with_a_thumb(look, address, alert):
    with look(address) as window:
        window.set_viewport_size(SMALLEST_PHONE)
        assert window.evaluate("document.documentElement.scrollWidth") <= 360
        actions = row_of(window).locator(".sisy-actions > :is(a, form, details)")
        for n in range(actions.count()):
            assert actions.nth(n).bounding_box()["height"] >= THUMB
        row_of(window).get_by_role("button", name="Acknowledge").click()
        expect(window.get_by_text("Acknowledged: ")).to_be_visible()
        expect(row_of(window)).to_contain_text("acknowledged by Sam")
        row_of(window).get_by_text("Mute").click()
        row_of(window).get_by_role("button", name="8 h").click()
        expect(row_of(window)).to_contain_text("muted until")
        row_of(window).get_by_text("Close").first.click()
        row_of(window).get_by_role("button", name="Close 1 alert").click()
        expect(window.get_by_text("Closed 1 alert.")).to_be_visible()
        expect(row_of(window)).to_have_count(0)


def test_focus_and_open_menus_survive_refreshes(look, address, alert):
    with look(address) as window:
        window.wait_for_selector(LIVE)
        row_of(window).get_by_text("Mute").click()
        window.keyboard.press("Tab")
        focused = window.evaluate(FOCUSED)
        task_with_callable(jobs.noop, label="refresh", schedule="0 0 1 1 *").save()
        refreshed = window.locator(".sisy-grid-name", has_text="refresh")
        expect(refreshed).to_be_visible(timeout=30_000)
        assert window.evaluate(FOCUSED) == focused == "1 h"
