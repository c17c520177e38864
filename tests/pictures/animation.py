"""Records how an alert opens and closes on the overview: ``python -m tests.pictures.animation``.

A small shop runs in this picture. Its task "prices: import" begins to fail, and is repaired.
"""

import argparse
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.contrib.auth.models import User
from django.core.management import call_command
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from shop import jobs
from shop.tasks import save
from sisy.models import Alert, Task
from tests.browser.chromium import launch
from tests.pictures import EXAMPLE
from tests.processes.http import free_port, page
from tests.processes.process import ROOT
from tests.support.waiting import wait_until

FILE = ROOT / "docs" / "images" / "alert.gif"
WIDTH, HEIGHT = 1000, 620
WIDTH_OF_FILE = 800
COLOURS = 128
FRAMES_A_SECOND = 2
MILLISECONDS = 250  # for each frame: twice as fast as it happened
LAST = 2500
CALM = 3.0  # seconds before the first failure, and after the recovery
BREAKS, WORKS = "shop.outside.import_prices", "shop.jobs.poll"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.pictures.animation", description=__doc__
    )
    parser.add_argument("--file", type=Path, default=FILE, help=f"by default {FILE.name}")
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    User.objects.create_superuser("admin")
    with running_shop() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        window = context.new_page()
        window.goto(address)
        window.wait_for_selector("[data-sisy-link][data-how=live]")
        frames = list(recorded(window))
        browser.close()
    write(frames, options.file)
    print(
        f"{options.file.name}: {len(frames)} frames, {options.file.stat().st_size / 1000:,.0f} kB"
    )
    return 0


@contextmanager
def running_shop() -> Iterator[str]:
    """Run a shop with a few tasks for so long that their squares fill the grid."""
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "demosite.asgi:application", "--port", port)
    shop = subprocess.Popen([*command, "--log-level", "warning"], cwd=EXAMPLE, env=os.environ)
    try:
        wait_until(lambda: page(port, "/health/"), "the shop answers")
        Task.objects.all().delete()  # those that migrations have created
        every = "* * * * * */{}".format
        save(jobs.count_up, "visits: count up", every(1))
        save(jobs.poll, "couriers: poll", every(2))
        save(jobs.poll, "prices: import", every(2))
        save(jobs.work, "orders: charge cards", every(5), userdata={"seconds": 1})
        save(jobs.poll, "stock: ask the warehouse", every(3))
        visits = Task.objects.get(label="visits: count up").runs
        wait_until(lambda: visits.count() > 75, "the grid is full", patience=180)
        yield f"http://127.0.0.1:{port}/"
    finally:
        shop.terminate()
        shop.wait(30)


def recorded(window: Page) -> Iterator[Image.Image]:
    """Yield what the window shows, until the alert has opened, was acknowledged, and is over."""
    alerts = Alert.objects.filter(label="prices: import")
    prices = Task.objects.filter(label="prices: import")
    yield from frames_until(window, lambda since: since > CALM)
    prices.update(target_path=BREAKS)
    yield from frames_until(window, lambda _: alerts.open().exists())
    yield from frames_until(window, lambda since: since > CALM)
    window.get_by_role("button", name="Acknowledge").first.click()
    yield from frames_until(window, lambda since: since > CALM)
    prices.update(target_path=WORKS)
    yield from frames_until(window, lambda _: alerts.closed().exists())
    window.get_by_role("heading", name="All clear").wait_for(timeout=90_000)
    yield from frames_until(window, lambda since: since > CALM)


def frames_until(window: Page, is_over, patience: float = 90.0) -> Iterator[Image.Image]:
    """Yield frames until the condition holds, of the seconds since the first one."""
    began = time.monotonic()
    while not is_over(since := time.monotonic() - began):
        assert since < patience, "the alert did not change"
        window.wait_for_timeout(1000 / FRAMES_A_SECOND)
        picture = Image.open(io.BytesIO(window.screenshot())).convert("RGB")
        yield picture.resize(
            (WIDTH_OF_FILE, HEIGHT * WIDTH_OF_FILE // WIDTH), Image.Resampling.LANCZOS
        )


def write(frames: list[Image.Image], file: Path) -> None:
    """Store the frames as an animation that repeats."""
    # One that has the colours of all: a palette of the first frame would have no red.
    some = frames[:: max(1, len(frames) // 6)]
    strip = Image.new("RGB", (frames[0].width, sum(frame.height for frame in some)))
    for place, frame in enumerate(some):
        strip.paste(frame, (0, place * frame.height))
    palette = strip.quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
    shown = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [MILLISECONDS] * (len(shown) - 1) + [LAST]
    shown[0].save(
        file, save_all=True, append_images=shown[1:], duration=durations, loop=0, optimize=True
    )


if __name__ == "__main__":
    sys.exit(main())
