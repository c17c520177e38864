"""Sisy: cron for Django, on Channels."""

from sisy.current import CurrentRun, current_run
from sisy.declarations import schedule
from sisy.exceptions import CallableError, DeclarationError, ScheduleError, SisyError

__all__ = [
    "CallableError",
    "CurrentRun",
    "DeclarationError",
    "ScheduleError",
    "SisyError",
    "current_run",
    "schedule",
]
