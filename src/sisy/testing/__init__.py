"""Tools for the tests of projects that use Sisy: time that is set by hand, and what ran in it.

Nothing here needs a process, a channel layer or any waiting.
"""

from sisy.testing.assertions import assert_ran, assert_scheduled
from sisy.testing.case import SisyTestMixin
from sisy.testing.timeline import Timeline, sisy_time

__all__ = ["SisyTestMixin", "Timeline", "assert_ran", "assert_scheduled", "sisy_time"]
