"""Functions that the demo schedules."""

import asyncio
import logging
from typing import Any

from django.contrib.sessions.models import Session
from django.core.mail import send_mail
from django.utils import timezone

from watch.models import Page

logger = logging.getLogger("watch")


def count_up(message: dict[str, Any]) -> int:
    """Count runs in the task's user data."""
    task = message["task"]
    task.userdata["count"] = task.userdata.get("count", 0) + 1
    task.save()
    return task.userdata["count"]


async def breathe(message: dict[str, Any]) -> str:
    """Wait a moment without blocking a thread."""
    await asyncio.sleep(0.2)
    return "refreshed"


def prune_sessions(message: dict[str, Any]) -> int:
    """Delete the sessions that have expired."""
    return Session.objects.filter(expire_date__lt=timezone.now()).delete()[0]


def mail_digest(message: dict[str, Any]) -> int:
    """Mail the status of each page. The demo prints its mail to the console."""
    lines = [f"{page.url}: {page.status}, {page.checks} checks" for page in Page.objects.all()]
    return send_mail("Status of the pages", "\n".join(lines), "demo@localhost", ["you@localhost"])


def remind(message: dict[str, Any]) -> str:
    """Log and return the reminder that a visitor entered on the demo's page."""
    text = message["task"].userdata["text"]
    logger.info("Reminder: %s", text)
    return text


def countdown(message: dict[str, Any]) -> None:
    """Do nothing. The task runs ten times and is then deleted."""
