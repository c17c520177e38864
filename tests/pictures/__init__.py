"""The manual's pictures of the dashboard, which show the demo."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import django

FOLDER = TemporaryDirectory(prefix="sisyshots")
EXAMPLE = Path(__file__).parents[2] / "example"
sys.path.insert(0, str(EXAMPLE))
os.environ["DJANGO_SETTINGS_MODULE"] = "demosite.settings"
os.environ["DEMO_DATABASE"] = str(Path(FOLDER.name) / "shop.sqlite3")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright runs an event loop in this thread
django.setup()
