"""Every page, as a browser shows it."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import sisy
from sisy.dashboard.pages import PAGES
from sisy.models import Run, RunState, TaskChange, task_with_callable
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from tests.app import jobs
from tests.browser.conftest import WIDTHS

PACKAGE = Path(sisy.__file__).parent
HOSTILE = """<img src=x onerror="window.hacked = true"><script>window.hacked = true</script>"""
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


@pytest.fixture(scope="module", autouse=True)
def history(site):
    """A task of whose runs some failed, and whose every word is hostile."""
    task = task_with_callable(
        jobs.noop,
        schedule="0 3 * * *",
        label=HOSTILE,
        timezone="Europe/Berlin",
        userdata={"name": HOSTILE, "password": "hunter2"},
        note=f"{HOSTILE} ![](x) [x](javascript:hacked=1)\n\n# {HOSTILE}\n\n- [x](https://a.example)",
    )
    task.save()
    for _ in range(3):
        task.run_now()
    Run.objects.filter(task=task).update(
        state=RunState.FAILED, reason=HOSTILE, error=f"Traceback\n{HOSTILE}"
    )
    task.schedule, task.userdata = "0 4 * * *", {HOSTILE: HOSTILE}
    with changed_by(ChangedBy.PERSON, HOSTILE):
        task.save()
    return task


def pages(task):
    """Return the path of each page that somebody opens."""
    run = Run.objects.filter(task=task).first()
    of_task = dict.fromkeys(("task", "backfill", "reschedule", "revert"), task.pk)
    keys = {**of_task, "run": run.pk}
    routes = {name: route for name, (route, view) in PAGES.items() if "parts" in vars(view)}
    paths = [re.sub("<int:pk>", str(keys.get(name, "")), route) for name, route in routes.items()]
    change = TaskChange.objects.filter(task_id=task.pk).latest("pk")
    paths = [path.replace("<int:change>", str(change.pk)) for path in paths]
    return [*paths, "tasks/?group=prefix"]


@pytest.mark.parametrize("root", ["/sisy/", "/admin/sisy/task/dashboard/"])
def test_no_page_breaks_the_policy_or_executes_hostile_input(look, address, history, root):
    with look(address) as window:
        for path in pages(history):
            window.goto(f"{address}{root}{path}")
            expect(window.locator("[data-sisy-link]")).to_have_text("Live")
            assert window.evaluate("window.hacked") is None, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(look, address, history, scheme):
    found = {}
    with look(address, color_scheme=scheme) as window:
        for path in pages(history):
            window.goto(f"{address}/sisy/{path}")
            results = Axe().run(window, options=RULES)
            if results.violations_count:
                found[path] = results.generate_report()
    assert not found, "\n".join(f"{path}: {report}" for path, report in found.items())


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window(look, address, history, width):
    with look(address) as window:
        window.set_viewport_size({"width": WIDTHS[width], "height": 900})
        for path in pages(history):
            window.goto(f"{address}/sisy/{path}")
            assert window.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width], path


def test_light_and_dark_mode_differ(look, address):
    found = set()
    for scheme in ("light", "dark"):
        with look(address, color_scheme=scheme) as window:
            found.add(
                window.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
            )
    assert len(found) == 2


def test_every_action_is_reachable_by_keyboard(look, address):
    with look(address) as window:
        reached = set()
        for _ in range(60):
            window.keyboard.press("Tab")
            reached.add(window.evaluate("document.activeElement.textContent.trim()"))
        assert {"Overview", "±6 h"} <= reached


SHEETS = sorted(path.name for path in (PACKAGE / "static" / "sisy").glob("*.css"))
UNSTYLED = """async (names) => {
    const selectorsOf = (rules) => [...rules].flatMap(
        (rule) => [rule.selectorText ?? [], ...selectorsOf(rule.cssRules ?? [])].flat());
    const loaded = [...document.styleSheets].map((sheet) => sheet.href.split('/').pop());
    const found = [];
    for (const name of names.filter((each) => !loaded.includes(each))) {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(await (await fetch(`/static/sisy/${name}`)).text());
        const selectors = selectorsOf(sheet.cssRules);
        found.push(...selectors.filter(
            (one) => document.querySelector(one.replaceAll(/::[a-z-]+/g, ''))));
    }
    return found;
}"""


def test_no_page_lacks_a_style_sheet_that_has_rules_for_it(look, address, history):
    assert "overview.css" in SHEETS
    with look(address) as window:
        for path in pages(history):
            window.goto(f"{address}/sisy/{path}")
            window.wait_for_selector("[data-sisy-link][data-how]")
            assert window.evaluate(UNSTYLED, SHEETS) == [], path
