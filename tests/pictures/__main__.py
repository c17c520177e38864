"""Takes the manual's pictures of the dashboard: ``make screenshots``."""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from sisy.dashboard.pages import PAGES
from sisy.models import Alert, Run, Task, TaskChange
from tests.browser.chromium import launch
from tests.pictures import EXAMPLE
from tests.processes.http import free_port, page
from tests.processes.process import ROOT
from tests.support.waiting import wait_until

IMAGES = ROOT / "docs" / "images"
WIDTHS = (1440, 390)
SCHEMES = ("light", "dark")
QUERIES = {
    "editor": "?schedule=30+2+*+*+mon-fri&timezone=Europe/Berlin",
    "reschedule": "?schedule=30+6,18+*+*+*",
}
COLOURS = 128
FIRST = {  # of these, the README shows what is seen first
    "overview-light-1440": 1000,
    "task-light-1440": 1000,
    "overview-dark-390": 844,
}
KINDS = {"failing", "missed", "slow", "no_worker"}  # the kinds of alerts that the pictures show


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("pages", nargs="*", help="by default all")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="by default docs/images")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with running_demo() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        all_fit = True
        for name, path in paths(options.pages).items():
            for scheme in SCHEMES:
                for width in WIDTHS:
                    file = options.folder / f"{name}-{scheme}-{width}.png"
                    all_fit &= take(browser, address + path, scheme, width, file)
                    print(file.name, flush=True)
        browser.close()
    return 0 if all_fit else 1


@contextmanager
def running_demo() -> Iterator[str]:
    """Run the demo until its problems have alerts, and further in a ``with`` block."""
    port = free_port()
    demo = subprocess.Popen([sys.executable, EXAMPLE / "demo.py", "--port", port])
    try:
        wait_until(lambda: page(port, "/health/"), "the demo answers")
        found = Alert.objects.open().values_list("kind", flat=True)
        wait_until(lambda: set(found.all()) >= KINDS, "its problems have alerts", patience=180)
        yield f"http://127.0.0.1:{port}"
    finally:
        # Not SIGINT, which a program in the background ignores.
        demo.terminate()
        demo.wait(30)


def paths(wanted: list[str]) -> dict[str, str]:
    """Return where each page is that somebody looks at."""
    task = Task.objects.get(label="catalogue: import prices")
    run = Run.objects.filter(task=task, state="failed").first()
    of_task = dict.fromkeys(("task", "backfill", "reschedule", "revert"), task.pk)
    change = TaskChange.objects.filter(task_id=task.pk, fields__has_key="schedule").first()
    keys = {**of_task, "run": run.pk if run else 0}
    found = {}
    for name, (route, shown) in PAGES.items():
        if "parts" in vars(shown) and (not wanted or name in wanted):
            path = re.sub("<int:pk>", str(keys.get(name)), route)
            path = path.replace("<int:change>", str(change.pk if change else 0))
            found[name] = f"/{path}{QUERIES.get(name, '')}"
    return found


def take(browser, address: str, scheme: str, width: int, file: Path) -> bool:
    """Take a picture of a page, and return whether the page fits the width."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    window = context.new_page()
    window.goto(address)
    window.wait_for_selector("[data-sisy-link][data-how=live]")
    window.wait_for_timeout(1500)
    window.screenshot(path=file, full_page=True)
    if (wide := window.evaluate("document.documentElement.scrollWidth")) > width:
        print(f"{file.name}: {wide} pixels wide", file=sys.stderr)
    context.close()
    picture = with_fewer_colours(Image.open(file).convert("RGB"))
    picture.save(file, optimize=True)
    if height := FIRST.get(file.stem):
        first = picture.crop((0, 0, picture.width, height))
        first.save(file.with_name(f"first-{file.name}"), optimize=True)
    return wide <= width


def with_fewer_colours(picture: Image.Image) -> Image.Image:
    """Return a picture with a palette of `COLOURS`: its most common ones, and some of the others.

    By itself, Pillow merges the green of a few small signs with the gray around them.
    """
    counted = sorted(picture.getcolors(picture.width * picture.height), reverse=True)
    common, others = counted[: COLOURS // 2], counted[COLOURS // 2 :]
    palette = [value for _, colour in common for value in colour]
    if others:
        each = Image.new("RGB", (len(others), 1))
        each.putdata([colour for _, colour in others])
        some = each.quantize(COLOURS // 2, method=Image.Quantize.FASTOCTREE)
        palette += some.getpalette()[: 3 * (COLOURS // 2)]
    with_palette = Image.new("P", (1, 1))
    with_palette.putpalette(palette)
    return picture.quantize(palette=with_palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    sys.exit(main())
