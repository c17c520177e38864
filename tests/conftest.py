"""What tests share."""

import os
from contextlib import ExitStack

import pytest

from tests.support.clocks import SettableClock as SettableClock
from tests.support.clocks import clock_at
from tests.support.moments import NOON

# They have a process of their own: `make test-browser`.
collect_ignore = [] if "SISY_TEST_BROWSER" in os.environ else ["browser", "pictures"]


@pytest.fixture
def at_time():
    """Return a function that lets it be a certain moment for the rest of the test."""
    with ExitStack() as stack:

        def set_time(moment):
            return stack.enter_context(clock_at(moment))

        yield set_time


@pytest.fixture
def now(at_time):
    """Let it be noon, and return the clock, to be set: ``now.moment = …``."""
    return at_time(NOON)


@pytest.fixture
def noon(now):
    """Let it be noon, and stay so."""
    return now


def pytest_report_header():
    scheme = os.environ.get("DATABASE_URL", "sqlite").partition(":")[0]
    database = {"postgresql": "PostgreSQL", "mysql": "MariaDB", "sqlite": "SQLite"}[scheme]
    layer = "Valkey" if "VALKEY_URL" in os.environ else "in-memory layer"
    return f"sisy on {database}, {layer}"
