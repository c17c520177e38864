"""Sisy: cron for Django, on Channels."""

from sisy.exceptions import CallableError, DeclarationError, ScheduleError, SisyError
from sisy.planning.declarations import schedule
from sisy.runtime.current import CurrentRun, current_run

__all__ = [
    "CallableError",
    "CurrentRun",
    "DeclarationError",
    "ScheduleError",
    "SisyError",
    "current_run",
    "schedule",
]
