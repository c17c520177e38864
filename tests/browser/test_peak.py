"""A busy time is spread on its page: tasks are ticked, and the preview becomes the load."""

from functools import partial

import pytest
from playwright.sync_api import expect

from sisy.models import Task, task_with_callable
from tests.app import jobs
from tests.browser.test_phone import PHONE, TARGETS
from tests.support.waiting import wait_until


@pytest.fixture
def pile(site):
    tasks = []
    for n in range(20):
        task = task_with_callable(jobs.noop, label=f"pile {n}", schedule="17 3 * * *")
        task.save()
        tasks.append(task)
    yield tasks
    Task.objects.filter(label__startswith="pile ").delete()


def test_tasks_of_a_busy_time_are_spread_except_the_unticked(look, address, pile):
    with look(address) as window:
        row = window.locator("tr", has_text="pile 0")
        # What an earlier test has looked at is kept for a minute.
        shown = partial(window.goto, f"{address}/sisy/load/")
        wait_until(lambda: shown() and row.count(), "the pile is shown", 70, 70)
        assert min(window.evaluate(TARGETS, ".sisy-content .sisy-table a")) >= 24
        window.set_viewport_size(PHONE)
        assert min(window.evaluate(TARGETS, ".sisy-content .sisy-table .sisy-button")) >= 44
        row.get_by_role("link", name="Spread…").click()
        expect(window.locator("#spread")).to_be_visible()
        window.get_by_label("pile 0", exact=True).uncheck()
        window.get_by_role("button", name="Spread the selected tasks").click()
        window.get_by_role("button", name="Spread 19 tasks").click()
        expect(window.get_by_text("Spread 19 tasks.")).to_be_visible()
    schedules = sorted(Task.objects.filter(label__startswith="pile").values_list("schedule"))
    assert schedules == [("17 3 * * *",)] + 19 * [("h 3 * * *",)]
