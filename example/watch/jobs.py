"""Functions that the demo schedules."""

import asyncio
import logging
from typing import Any

from django.contrib.sessions.models import Session
from django.utils import timezone

logger = logging.getLogger("watch")


def count_up(message: dict[str, Any]) -> int:
    """Count runs in the task's user data."""
    task = message["task"]
    task.userdata["count"] = task.userdata.get("count", 0) + 1
    task.save()
    return task.userdata["count"]


async def wait(message: dict[str, Any]) -> str:
    """Wait a moment without blocking a thread."""
    await asyncio.sleep(0.2)
    return "waited"


def prune_sessions(message: dict[str, Any]) -> int:
    """Delete the sessions that have expired."""
    return Session.objects.filter(expire_date__lt=timezone.now()).delete()[0]


def remind(message: dict[str, Any]) -> str:
    """Log and return the reminder that a visitor entered on the demo's page."""
    text = message["task"].userdata["text"]
    logger.info("Reminder: %s", text)
    return text


def countdown(message: dict[str, Any]) -> None:
    """Do nothing. The task runs ten times and is then deleted."""
