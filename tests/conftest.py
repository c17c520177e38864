"""What tests share."""

import os
from contextlib import ExitStack

import pytest

from sisy import clock

# They have a process of their own: `make test-browser`.
collect_ignore = [] if "SISY_TEST_BROWSER" in os.environ else ["browser", "pictures"]


class SettableClock:
    """A clock that stands still until a test sets it."""

    def __init__(self, moment):
        self.moment = moment

    def now(self, using):
        return self.moment

    def last_known(self, using):
        return self.moment


@pytest.fixture
def at_time():
    """Return a function that lets it be a certain moment for the rest of the test."""
    with ExitStack() as stack:

        def set_time(moment):
            return stack.enter_context(clock.use(SettableClock(moment)))

        yield set_time


def pytest_report_header():
    scheme = os.environ.get("DATABASE_URL", "sqlite").partition(":")[0]
    database = {"postgresql": "PostgreSQL", "mysql": "MariaDB", "sqlite": "SQLite"}[scheme]
    layer = "Valkey" if "VALKEY_URL" in os.environ else "in-memory layer"
    return f"sisy on {database}, {layer}"
