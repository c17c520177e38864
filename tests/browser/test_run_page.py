"""The page of a run: commands are copied, and actions stay in reach on a phone."""

import pytest
from playwright.sync_api import expect

from sisy.models import RunState, task_with_callable
from tests.app import jobs

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def run(site):
    task = task_with_callable(jobs.noop, label="report", schedule="0 0 1 1 *")
    task.save()
    run = task.run_now()
    type(run).objects.filter(pk=run.pk).update(
        state=RunState.FAILED, error="\n".join(f"line {n}" for n in range(300))
    )
    return run


def test_a_command_is_copied_and_the_button_says_so(look, address, run):
    with look(address, permissions=["clipboard-read", "clipboard-write"]) as window:
        window.goto(f"{address}/sisy/runs/{run.pk}/")
        button = window.get_by_role("button", name="Copy the command: Show")
        button.click()
        expect(button).to_have_text("Copied")
        copied = window.evaluate("navigator.clipboard.readText()")
        assert copied == f"python manage.py sisy_runs show {run.pk}"
        expect(button).to_have_text("Copy")


def test_without_the_clipboard_of_secure_sites_a_command_is_still_copied(look, address, run):
    with look(address) as window:
        window.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
        window.goto(f"{address}/sisy/runs/{run.pk}/")
        copies = "document.addEventListener('copy', () => window.copied = `${getSelection()}`)"
        window.evaluate(copies)
        window.get_by_role("button", name="Copy the command: Show").click()
        window.wait_for_function(f"window.copied === 'python manage.py sisy_runs show {run.pk}'")


def test_actions_stay_within_reach_on_a_phone(look, address, run):
    with look(address) as window:
        window.set_viewport_size(PHONE)
        window.goto(f"{address}/sisy/runs/{run.pk}/")
        outcome = window.get_by_role("region", name="Outcome")  # an alert may offer it as well
        retry = outcome.get_by_role("button", name="Retry", exact=True)
        for place in ("0", "document.body.scrollHeight"):
            window.evaluate(f"window.scrollTo(0, {place})")
            box = retry.bounding_box()
            assert box["y"] > PHONE["height"] / 2
            assert box["y"] + box["height"] <= PHONE["height"]
            assert box["height"] >= 44
        last = window.locator("[data-sisy-copy]").last.bounding_box()
        assert last["y"] + last["height"] <= box["y"]


def test_a_long_traceback_shows_its_end_first(look, address, run):
    with look(address) as window:
        window.goto(f"{address}/sisy/runs/{run.pk}/")
        error = window.locator("pre.sisy-error")
        assert error.evaluate("text => text.scrollTop") > 0
