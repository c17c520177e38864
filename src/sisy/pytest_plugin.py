"""Fixtures for pytest, available as soon as Sisy is installed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # pytest loads plugins before Django's settings are there
    from sisy.testing import Timeline


@pytest.fixture
def sisy_time(db: Any) -> "Iterator[Callable[..., Timeline]]":
    """Return a function that sets the time for Sisy; see `sisy.testing.sisy_time`."""
    from sisy.testing import sisy_time

    with ExitStack() as stack:

        def start(moment: datetime | str, timezone: tzinfo | str | None = None) -> "Timeline":
            return stack.enter_context(sisy_time(moment, timezone))

        yield start
