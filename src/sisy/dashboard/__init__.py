"""What ran, what runs, what comes: pages for people, in the admin and alone."""

from sisy.dashboard.mounting import Dashboard

__all__ = ["Dashboard"]
