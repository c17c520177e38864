"""The manual's pictures of the dashboard; each module is told apart from those of a test run."""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright runs an event loop in this thread
django.setup()
