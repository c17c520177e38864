"""Sisy's test tools as methods of a test case."""

import unittest
from datetime import datetime, tzinfo

from sisy.callables import Callee
from sisy.models import Run, Task
from sisy.testing.assertions import assert_ran, assert_scheduled
from sisy.testing.timeline import Timeline, sisy_time


class SisyTestMixin(unittest.TestCase):
    """A mixin; place it before Django's own ``TestCase``."""

    def sisy_time(self, moment: datetime | str, timezone: tzinfo | str | None = None) -> Timeline:
        """Set Sisy's clock to a moment until the test ends; see `sisy.testing.sisy_time`."""
        return self.enterContext(sisy_time(moment, timezone))

    def assertScheduled(self, callable: Callee, **fields: object) -> Task:  # noqa: A002, N802
        """See `sisy.testing.assert_scheduled`."""
        return assert_scheduled(callable, **fields)

    def assertRan(  # noqa: N802 - as unittest names them
        self,
        callable: Callee,  # noqa: A002
        times: int | None = None,
        *,
        state: str = "succeeded",
    ) -> list[Run]:
        """See `sisy.testing.assert_ran`."""
        return assert_ran(callable, times, state=state)
