"""What tests of the roles share."""

import pytest

from sisy import clock
from tests.support.clocks import TwoClocks


@pytest.fixture
def clocks(monkeypatch):
    """Let the database's clock and the steady one be set by the test."""
    clocks = TwoClocks()
    monkeypatch.setattr(clock, "steady", lambda: clocks.seconds)
    with clock.use(clocks):
        yield clocks
