"""The output of a run grows on its page, and its bar moves, while somebody looks."""

from playwright.sync_api import expect

from sisy.models import task_with_callable
from tests.app import talkative_jobs

OUTPUT = "#sisy-output pre"
AT_END = "text => text.scrollTop + text.clientHeight >= text.scrollHeight - 4"


def started(function, label):
    task = task_with_callable(function, label=label, schedule="0 0 1 1 *")
    task.save()
    return task.run_now()


def test_output_grows_on_the_page_and_stays_scrolled_to_its_end(look, address):
    run = started(talkative_jobs.prints_until_stopped, "talkative")
    with look(address) as window:
        window.goto(f"{address}/sisy/runs/{run.pk}/")
        expect(window.locator(OUTPUT)).to_contain_text("line 30\n", timeout=60_000)
        assert window.locator(OUTPUT).evaluate(AT_END)
        window.locator(OUTPUT).evaluate("text => { text.scrollTop = 0 }")
        expect(window.locator(OUTPUT)).to_contain_text("line 60\n", timeout=60_000)
        assert not window.locator(OUTPUT).evaluate(AT_END)
    run.cancel()


def test_the_bar_moves_on_the_page_and_in_the_list(look, address):
    run = started(talkative_jobs.reports_until_stopped, "measured")
    with look(address) as window:
        window.goto(f"{address}/sisy/runs/{run.pk}/")
        bar = window.locator("#sisy-output progress")
        expect(bar).to_be_visible(timeout=60_000)
        before = int(bar.get_attribute("value"))
        expect(bar).not_to_have_attribute("value", str(before))
        window.goto(f"{address}/sisy/runs/")
        row = window.locator(f"#run-{run.pk}")
        expect(row.locator("progress")).to_be_visible()
        expect(row).to_contain_text("of 100 · row")
    run.cancel()
