"""The forms that pause tasks and queues: their buttons are unmistakable, and they fit."""

import pytest
from playwright.sync_api import expect

from sisy.models import Task, task_with_callable
from tests.app import jobs
from tests.browser.test_phone import PHONE


@pytest.fixture
def many(site):
    for number in range(12):
        task_with_callable(jobs.noop, label=f"many {number}", schedule="@yearly").save()
    yield
    Task.objects.filter(label__startswith="many ").delete()


def test_the_form_of_a_pause_takes_the_place_of_other_actions(look, address, many):
    with look(address) as phone:
        phone.set_viewport_size(PHONE)
        phone.goto(f"{address}/sisy/tasks/?search=many")
        phone.locator("tbody .sisy-pick").first.click()
        bar = phone.locator(".sisy-selection > .sisy-verbs")
        resume = bar.get_by_role("button", name="Resume")
        expect(resume).to_be_visible()
        bar.locator("#pause > summary").click()
        expect(resume).to_be_hidden()
        expect(bar.get_by_role("button")).to_have_text(["Pause selected"])
        assert bar.bounding_box()["height"] < PHONE["height"] / 4
        bar.locator("#pause > summary").click()
        expect(resume).to_be_visible()


def test_a_list_without_tasks_has_no_actions(look, address):
    with look(address) as window:
        window.goto(f"{address}/sisy/tasks/?search=nothing+like+it")
        expect(window.get_by_text("No matching tasks.")).to_be_visible()
        expect(window.get_by_text("With selected:")).to_be_hidden()


@pytest.mark.parametrize("width", [1300, 1440, 1700])
def test_the_form_that_pauses_a_queue_has_one_line(look, address, many, width):
    with look(address) as window:
        window.set_viewport_size({"width": width, "height": 900})
        window.goto(f"{address}/sisy/fleet/")
        window.locator("#queue-default summary").click()
        form = window.locator("#queue-default .sisy-menu form")
        expect(form).to_be_visible()
        assert form.bounding_box()["height"] < 50
        scrolls = "(each) => each.closest('.sisy-scroll').scrollWidth - each.offsetWidth"
        assert window.locator(".sisy-charted").evaluate(scrolls) <= 0
        fits = "(each) => each.scrollWidth <= each.clientWidth"
        assert form.get_by_placeholder("reason").evaluate(fits)
