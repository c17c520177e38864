"""From a schedule and a zone to due moments; needs no Django."""

from sisy.exceptions import ScheduleError
from sisy.schedules.schedule import Schedule

__all__ = ["Schedule", "ScheduleError"]
