"""Sisy: cron for Django, on Channels."""

from sisy.current import CurrentRun, current_run
from sisy.exceptions import CallableError, ScheduleError, SisyError

__all__ = ["CallableError", "CurrentRun", "ScheduleError", "SisyError", "current_run"]
