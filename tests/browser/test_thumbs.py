"""What a thumb reaches on a phone: targets, bulk actions, filters and rows."""

import re

import pytest
from playwright.sync_api import expect

from sisy.models import Run, task_with_callable
from sisy.records.problems import Kind
from tests.app import jobs
from tests.browser.test_fold import busy_one as busy_one
from tests.browser.test_phone import PHONE
from tests.support.records import open_alert

SMALL = """(least) => ['a', 'button', 'summary', 'select', 'label']
    .flatMap((tag) => [...document.querySelectorAll(`.sisy ${tag}`)])
    .filter((each) => each.checkVisibility({visibilityProperty: true}) && !each.closest('svg'))
    .filter((each) => getComputedStyle(each).pointerEvents !== 'none')
    .filter((each) => !each.matches('label:not(.sisy-pick, .sisy-fold), .sisy-skip'))
    .map((each) => [each.getBoundingClientRect().height, each])
    .filter(([height]) => height < least - 0.5)
    .map(([height, each]) => `${height} ${each.className} ${each.textContent.trim()}`)"""
PAGES = ("", "alerts/", "tasks/", "runs/", "load/", "fleet/", "schedule/")
ON_CALL = (
    ".sisy-alerts :is(button, .sisy-button, .sisy-menu > summary), .sisy-alert-head a, "
    ".sisy-leaf a, .sisy-fold, .sisy-pick, .sisy-zoom a, .sisy-trail a, .sisy-filter button, "
    ".sisy-more > summary, .sisy-verbs button, .sisy-tabs a, .sisy-facts a"
)
HEIGHTS = """(selector) => [...document.querySelectorAll(selector)]
    .filter((each) => each.checkVisibility())
    .map((each) => Math.round(each.getBoundingClientRect().height))"""


TEXT_SIZES = """(selector) => [...document.querySelectorAll(selector)]
    .filter((each) => each.checkVisibility())
    .map((each) => parseFloat(getComputedStyle(each).fontSize))"""
FOR_FINGERS = f"{ON_CALL}, .sisy :is(button, .sisy-button, select, input:not([type=checkbox]))"


@pytest.fixture
def phone(look, address, busy_one):
    with look(address) as window:
        window.set_viewport_size(PHONE)
        yield window


@pytest.mark.parametrize("page", PAGES)
def test_no_target_is_smaller_than_24_pixels(phone, address, page):
    phone.goto(f"{address}/sisy/{page}")
    assert phone.evaluate(SMALL, 24) == []


@pytest.mark.parametrize(
    "page", ["", "tasks/", "runs/?state=failed", "schedule/", "a run", "a task"]
)
def test_what_people_on_call_need_is_44_pixels_high(phone, address, busy_one, page):
    run = Run.objects.filter(task=busy_one).latest("pk")
    page = {"a run": f"runs/{run.pk}/", "a task": f"tasks/{busy_one.pk}/"}.get(page, page)
    phone.goto(f"{address}/sisy/{page}")
    heights = phone.evaluate(HEIGHTS, ON_CALL)
    assert heights
    assert min(heights) >= 44


@pytest.mark.parametrize("width", [768, 1180])
@pytest.mark.parametrize("page", ["", "tasks/", "runs/?state=failed", "load/", "fleet/"])
def test_a_tablet_has_the_sizes_of_a_phone(look, address, busy_one, page, width):
    with look(address, has_touch=True, is_mobile=True) as tablet:
        tablet.set_viewport_size({"width": width, "height": 1024})
        tablet.goto(f"{address}/sisy/{page}")
        assert tablet.evaluate(SMALL, 24) == []
        assert min(tablet.evaluate(HEIGHTS, FOR_FINGERS)) >= 44
        sizes = tablet.evaluate(TEXT_SIZES, ".sisy :is(select, input:not([type=checkbox]))")
        assert min(sizes) >= 16  # iOS zooms in on smaller text
        boxes = tablet.evaluate(HEIGHTS, ".sisy-pick input")
        assert min(boxes, default=24) >= 24
        assert tablet.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("page", "fold", "row", "drawn"),
    [
        ("", "of each task", ".sisy-grid-row", ".sisy-squares"),
        ("", "Timeline", ".sisy-track", "svg"),
        ("tasks/", None, ".sisy-tasks tbody tr", ".sisy-squares"),
    ],
)
def test_a_row_of_runs_is_one_target_that_leads_to_its_task(
    phone, address, busy_one, page, fold, row, drawn
):
    phone.goto(f"{address}/sisy/{page}")
    if fold:
        phone.locator(".sisy-fold", has_text=fold).click()
    of_task = phone.locator(row).filter(has_text="very busy")
    expect(of_task).to_be_visible()
    assert min(phone.evaluate(HEIGHTS, row)) >= 44
    of_task.scroll_into_view_if_needed()
    box = of_task.locator(drawn).first.bounding_box()
    # The newest runs are at the right.
    phone.mouse.click(box["x"] + box["width"] - 6, box["y"] + box["height"] / 2)
    phone.wait_for_url(f"**/sisy/tasks/{busy_one.pk}/")


def test_bulk_actions_stay_in_sight_while_tasks_are_selected(phone, address):
    others = [task_with_callable(jobs.noop, label=f"z{n}", schedule="@yearly") for n in range(12)]
    for task in others:
        task.save()
    phone.goto(f"{address}/sisy/tasks/")
    run_now = phone.locator(".sisy-verbs").get_by_text("Run now")
    expect(run_now).not_to_be_in_viewport()
    phone.locator("tbody .sisy-pick").first.click()
    expect(run_now).to_be_in_viewport()
    phone.locator("tbody .sisy-pick").first.click()
    expect(run_now).not_to_be_in_viewport()
    for task in others:
        task.delete()


def test_the_row_of_a_run_leads_to_it(phone, address):
    phone.goto(f"{address}/sisy/runs/?state=failed")
    words = phone.locator("tbody tr .reason").first.bounding_box()
    phone.mouse.click(words["x"] + words["width"] / 2, words["y"] + words["height"] / 2)
    expect(phone).to_have_url(re.compile(r"/runs/\d+/$"))
    phone.goto(f"{address}/sisy/runs/?state=failed")
    phone.locator("tbody tr .label a").first.click()
    expect(phone).to_have_url(re.compile(r"/tasks/\d+/$"))


def test_filters_are_folded_until_they_are_wanted_or_in_use(phone, address):
    state = phone.locator("select[name=state]")
    phone.goto(f"{address}/sisy/runs/")
    expect(state).to_be_hidden()
    expect(phone.locator("input[name=search]")).to_be_visible()
    assert phone.locator("tbody tr").first.bounding_box()["y"] < 400
    phone.locator(".sisy-filters .sisy-fold").click()
    expect(state).to_be_visible()
    phone.goto(f"{address}/sisy/runs/?state=failed")
    expect(state).to_be_visible()


def test_the_buttons_of_the_timeline_lead_back_to_it(phone, address):
    phone.goto(f"{address}/sisy/")
    phone.locator(".sisy-fold", has_text="Timeline").click()
    phone.get_by_text("±24 h").click()
    expect(phone).to_have_url(re.compile("hours=24#timeline"))
    expect(phone.locator(".sisy-tracks")).to_be_visible()
    expect(phone.locator("#timeline")).to_be_in_viewport()
    expect(phone.locator(".sisy-fold", has_text="Timeline")).to_contain_text("Hide")


def test_all_pages_are_in_the_menu_of_a_narrow_phone(phone, address):
    phone.set_viewport_size({"width": 360, "height": 740})
    phone.goto(f"{address}/sisy/")
    tabs = phone.locator(".sisy-tabs")
    assert tabs.evaluate("(each) => each.scrollWidth - each.clientWidth") <= 0


def test_backfill_opens_the_tasks_that_missed_occurrences(phone, address, busy_one):
    other = task_with_callable(jobs.noop, label="other", schedule="@yearly")
    other.save()
    since = Run.objects.filter(task=busy_one).latest("pk").due_at
    alerts = [
        open_alert(
            task, Kind.MISSED, since, why=f"{n} missed: no heartbeat.", cause="no heartbeat"
        )
        for n, task in enumerate((busy_one, other), 2)
    ]
    phone.goto(f"{address}/sisy/")
    phone.locator(".sisy-alert", has_text="2 tasks").locator(".sisy-actions").get_by_text(
        "Backfill…"
    ).click()
    expect(phone).to_have_url(re.compile("/tasks/missed/"))
    expect(phone.get_by_role("heading", name="Missed occurrences")).to_be_visible()
    for alert in alerts:
        alert.delete()
    other.delete()
