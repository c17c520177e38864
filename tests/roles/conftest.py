"""What tests of heartbeats and workers share."""

import pytest

from tests.roles.watched import Site


@pytest.fixture
def site(clocks, settings):
    """A site whose time the test sets, and that posts its alerts to one address."""
    settings.SISY_ENGINES = {}
    settings.SISY_ALERTS = ["https://example.com/hook"]
    return Site(clocks)
