"""Pages that stay true while somebody looks at them."""

import pytest
from playwright.sync_api import expect

from sisy.models import task_with_callable
from tests.app import jobs
from tests.browser.conftest import person

ROWS = "#sisy-latest tbody tr"
LIVE, POLLS = "Live", "Refreshes every 5 s"


def row_of(window, label):
    return window.locator(ROWS).filter(has_text=label)


def yearly(target, **fields):
    task = task_with_callable(target, schedule="0 0 1 1 *", **fields)
    task.save()
    return task


@pytest.mark.parametrize(("server", "how"), [("address", LIVE), ("address_without_layer", POLLS)])
def test_a_run_appears_runs_and_ends_without_a_reload(request, look, server, how):
    label = f"watched ({how})"
    with look(request.getfixturevalue(server)) as window:
        expect(window.locator("[data-sisy-link]")).to_have_text(how)
        window.evaluate("window.isTheSame = true")
        yearly(jobs.sleeps, label=label, userdata={"seconds": 7}).run_now()
        expect(row_of(window, label)).to_contain_text("running", timeout=30_000)
        expect(row_of(window, label)).to_contain_text("succeeded", timeout=30_000)
        assert window.evaluate("window.isTheSame")


def test_input_and_selection_survive_live_updates(look, address):
    yearly(jobs.noop, label="before").run_now()  # a new site has no lists
    with look(address) as window:
        expect(row_of(window, "before").first).to_be_visible()
        window.evaluate("document.querySelector('.sisy-scroll').focus()")
        yearly(jobs.noop, label="meanwhile").run_now()
        expect(row_of(window, "meanwhile").first).to_be_visible()
        assert window.evaluate("document.activeElement.className") == "sisy-scroll"


def test_a_refresh_of_a_search_says_how_many_runs_the_page_has_looked_at(look, address):
    yearly(jobs.noop, label="looked for").run_now()
    with look(address) as window:
        window.goto(f"{address}/sisy/runs/?text=nothing")
        shown = window.locator("[data-sisy-carry]").get_attribute("data-sisy-carry")
        assert shown.startswith("looked=")
        with window.expect_request(lambda request: "parts=" in request.url) as asked:
            pass
        assert shown in asked.value.url.split("?")[1].split("&")
        assert "text=nothing" in asked.value.url


def test_a_page_reports_a_lost_connection_and_recovers(look, address, accepted):
    accepted.append("503")
    with look(address) as window:
        expect(window.locator("[data-sisy-link]")).to_have_text(LIVE)
        window.route("**/*parts=*", lambda route: route.fulfill(status=503, body=""))
        expect(window.locator("[data-sisy-link]")).to_have_text("Disconnected", timeout=60_000)
        window.unroute("**/*parts=*")
        expect(window.locator("[data-sisy-link]")).to_have_text(LIVE, timeout=60_000)


CODE = """address => new Promise(resolve => {
  const socket = new WebSocket(address);
  socket.addEventListener("close", event => resolve(event.code));
})"""


@pytest.mark.parametrize("user", ["", "Guest"])
def test_anonymous_and_unauthorized_users_get_no_socket(look, address, user):
    if user:
        person(user, "view_run")
    with look(address, user="") as window:
        window.goto(f"{address}/admin/login/")
        if user:
            window.fill("#id_username", user)
            window.fill("#id_password", "anvil")
            window.click("[type=submit]")
        socket = address.replace("http", "ws") + "/ws/sisy/"
        assert window.evaluate(CODE, socket) == 4403
