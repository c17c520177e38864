"""Compute due moments from a schedule and a time zone. Does not need Django."""

from sisy.exceptions import ScheduleError
from sisy.schedules.schedule import Schedule

__all__ = ["Schedule", "ScheduleError"]
