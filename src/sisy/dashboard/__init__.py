"""The dashboard: past, current and upcoming runs, in the admin or on its own."""

from sisy.dashboard.access import Dashboard

__all__ = ["Dashboard"]
