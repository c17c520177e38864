"""Tools for the tests of projects that use Sisy: a clock to set, and assertions about runs.

They need no processes, no channel layer and no waiting.
"""

from typing import TYPE_CHECKING, Any

from sisy.testing.assertions import assert_ran, assert_scheduled
from sisy.testing.case import SisyTestMixin
from sisy.testing.timeline import Timeline, sisy_time

__all__ = [
    "BackendConformance",
    "SisyTestMixin",
    "Timeline",
    "assert_ran",
    "assert_scheduled",
    "sisy_time",
]

if TYPE_CHECKING:
    from sisy.testing.conformance import BackendConformance


def __getattr__(name: str) -> Any:
    """Import the class that needs ``django.tasks`` only when it is used."""
    if name == "BackendConformance":
        from sisy.testing.conformance import BackendConformance

        return BackendConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
