"""Functions that the shop schedules."""

import asyncio
import logging
import random
from typing import Any

from django.contrib.sessions.models import Session
from django.utils import timezone

from sisy import current_run

logger = logging.getLogger("shop")


def count_up(message: dict[str, Any]) -> int:
    """Count runs in the task's user data."""
    task = message["task"]
    task.userdata["count"] = task.userdata.get("count", 0) + 1
    task.save()
    return task.userdata["count"]


async def poll(message: dict[str, Any]) -> str:
    """Wait a moment without blocking a thread."""
    await asyncio.sleep(0.2)
    return "nothing new"


async def work(message: dict[str, Any]) -> dict[str, int]:
    """Take as many seconds as the user data says, and report progress."""
    seconds = message["task"].userdata["seconds"]
    rows = random.randrange(200, 9000)
    parts = max(1, round(seconds))
    for part in range(parts):
        await asyncio.sleep(seconds / parts)
        current_run().progress(rows * (part + 1) // parts, rows)
    logger.info("%s: %d rows", message["task"].label, rows)
    return {"rows": rows}


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
