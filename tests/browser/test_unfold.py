"""Sisy's pages in the look of Unfold."""

import pytest
from playwright.sync_api import expect

from sisy.models import task_with_callable
from tests.app import jobs
from tests.browser.serving import serve

DARK = "rgb(28, 32, 41)"


@pytest.fixture
def address_in_unfold(site):
    server, address = serve(site, DJANGO_SETTINGS_MODULE="tests.browser.unfold_settings")
    yield address
    server.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_dashboard_is_live_and_the_admins_pages_are_unfolds(look, address_in_unfold, scheme):
    task = task_with_callable(jobs.noop, label=f"unfolded ({scheme})", schedule="0 0 1 1 *")
    task.save()
    with look(address_in_unfold, color_scheme=scheme) as window:
        admin = f"{address_in_unfold}/admin/sisy/task/"
        window.goto(f"{admin}dashboard/tasks/{task.pk}/")
        window.get_by_role("button", name="Run now").click()
        expect(window.locator("#sisy-ledger tbody tr").first).to_contain_text("succeeded")
        card = expect(window.locator(".sisy-card").first)
        if scheme == "dark":
            card.to_have_css("background-color", DARK)
        else:
            card.not_to_have_css("background-color", DARK)
        window.goto(admin)
        window.get_by_role("link", name="Dashboard").click()
        expect(window.get_by_role("heading", name="Overview")).to_be_visible()
        window.goto(f"{admin}{task.pk}/change/")
        expect(window.get_by_text("Wed 2").or_(window.get_by_text("UTC")).first).to_be_visible()
        assert "unfold" in window.content()
