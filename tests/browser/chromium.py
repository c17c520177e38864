"""Debian's Chromium, driven by Playwright; ``python -m tests.browser.chromium`` finds it."""

import shutil
import sys
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def path_of_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def launch(playwright: Any) -> Any:
    """Return a new browser."""
    return playwright.chromium.launch(executable_path=path_of_chromium(), args=FLAGS)


def main() -> int:
    if path_of_chromium() is None:
        print("Chromium is missing; on Debian: apt install chromium")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
