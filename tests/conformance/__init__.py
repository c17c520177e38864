"""Runs Django's own tests of ``django.tasks`` on Sisy: ``python -m tests.conformance``."""
