"""Takes the manual's pictures of the dashboard: ``make screenshots``."""

import argparse
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from django.contrib.auth.models import User
from django.db import connections
from PIL import Image
from playwright.sync_api import sync_playwright

from sisy import clock
from sisy.dashboard.pages import PAGES
from sisy.models import Run, Task
from tests.browser.chromium import launch
from tests.browser.serving import serve
from tests.pictures import portfolio
from tests.processes.databases import migrate, on_sqlite, sqlite_settings
from tests.processes.process import ROOT
from tests.processes.site import Site

IMAGES = ROOT / "docs" / "images"
WIDTHS = (1440, 390)
SCHEMES = ("light", "dark")
QUERIES = {
    "editor": "?schedule=30+2+*+*+mon-fri&timezone=Europe/Berlin",
    "reschedule": "?schedule=30+6,18+*+*+*",
}
COLOURS = 128


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.screenshots", description=__doc__
    )
    parser.add_argument("pages", nargs="*", help="by default all")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="by default docs/images")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        address = open_shop(stack)
        playwright = stack.enter_context(sync_playwright())
        browser = launch(playwright)
        for name, path in paths(options.pages).items():
            for scheme in SCHEMES:
                for width in WIDTHS:
                    file = options.folder / f"{name}-{scheme}-{width}.png"
                    take(browser, address + path, scheme, width, file)
                    print(file.name, flush=True)
        browser.close()
    return 0


def open_shop(stack: ExitStack) -> str:
    """Start a site with a day behind it, and return its address."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="sisyshots")))
    site = Site(folder, on_sqlite(folder))
    site.environment["DJANGO_SETTINGS_MODULE"] = "tests.browser.settings"
    connections.settings["default"].update(sqlite_settings(folder))
    stack.callback(site.close)
    migrate(site)
    User.objects.create_superuser("Sam", password="anvil")
    portfolio.store(clock.now("default"))
    return serve(site)[1]


def paths(wanted: list[str]) -> dict[str, str]:
    """Return where each page is that somebody looks at."""
    task = Task.objects.get(label="import prices")
    run = Run.objects.filter(task=task, state="failed").first()
    of_task = dict.fromkeys(("task", "backfill", "reschedule"), task.pk)
    keys = {**of_task, "run": run.pk if run else 0}
    found = {}
    for name, (route, page) in PAGES.items():
        if "parts" in vars(page) and (not wanted or name in wanted):
            path = re.sub("<int:pk>", str(keys.get(name)), route)
            found[name] = f"/sisy/{path}{QUERIES.get(name, '')}"
    return found


def take(browser, address: str, scheme: str, width: int, file: Path) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    window = context.new_page()
    root = address.partition("/sisy/")[0]
    window.goto(f"{root}/admin/login/?next={address.removeprefix(root)}")
    window.fill("#id_username", "Sam")
    window.fill("#id_password", "anvil")
    window.click("[type=submit]")
    window.goto(address)
    window.wait_for_selector("[data-sisy-link][data-how=live]")
    window.wait_for_timeout(1500)
    window.screenshot(path=file, full_page=True)
    if (wide := window.evaluate("document.documentElement.scrollWidth")) > width:
        print(f"{file.name}: {wide} wide", file=sys.stderr)
    context.close()
    Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
