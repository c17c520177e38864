"""Measures when the overview is first seen: ``python -m tests.browser.paint``.

It starts the demo, unless the address of a site is given. Each load begins with an empty cache.
Its duration depends on the machine and on its other work, so this is a command and not a test.
"""

import argparse
from contextlib import nullcontext
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser.chromium import launch
from tests.pictures.__main__ import running_demo

BAR = 500  # milliseconds until the first text is painted
VIEWPORTS = ((1440, 900), (390, 844))
TIMES = 5
MEASURE = """() => {
    const [page] = performance.getEntriesByType('navigation');
    const files = performance.getEntriesByType('resource');
    const painted = (name) => performance.getEntriesByName(name)[0].startTime;
    const blocking = files.filter((file) => file.renderBlockingStatus === 'blocking');
    return {
        'server answers': page.responseStart - page.requestStart,
        'page is there': page.responseEnd,
        'style sheets are there': Math.max(0, ...blocking.map((file) => file.responseEnd)),
        'first paint': painted('first-paint'),
        'first contentful paint': painted('first-contentful-paint'),
        'kilobytes of the page': page.decodedBodySize / 1024,
        'blocking files': blocking.length,
    };
}"""
PAINTED = "performance.getEntriesByName('first-contentful-paint').length > 0"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.paint", description=__doc__)
    parser.add_argument("address", nargs="?", help="of a running site; by default, of the demo")
    parser.add_argument("--path", default="/", help="of the page; default: %(default)s")
    parser.add_argument("--times", type=int, default=TIMES, help="default: %(default)s")
    options = parser.parse_args()
    site = nullcontext(options.address) if options.address else running_demo()
    with site as address, sync_playwright() as playwright:
        browser = launch(playwright)
        for width, height in VIEWPORTS:
            viewport = {"width": width, "height": height}
            # The first look warms the server, and counts for nothing.
            _, *looks = [
                look(browser, address + options.path, viewport) for _ in range(options.times + 1)
            ]
            print(f"{width} x {height}, median of {len(looks)}, in milliseconds:")
            for name in looks[0]:
                print(f"  {name:<24}{median(each[name] for each in looks):>8.0f}")
        browser.close()


def look(browser: Any, address: str, viewport: dict[str, int]) -> dict[str, float]:
    """Return what a visit with an empty cache takes."""
    context = browser.new_context(viewport=viewport)
    window = context.new_page()
    window.goto(address)
    window.wait_for_function(PAINTED)
    found: dict[str, float] = window.evaluate(MEASURE)
    context.close()
    return found


if __name__ == "__main__":
    main()
