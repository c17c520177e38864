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
    """Count in the task's own user data."""
    task = message["task"]
    task.userdata["count"] = task.userdata.get("count", 0) + 1
    task.save()
    return task.userdata["count"]


async def breathe(message: dict[str, Any]) -> str:
    """Wait a little, without holding a thread."""
    await asyncio.sleep(0.2)
    return "refreshed"


def prune_sessions(message: dict[str, Any]) -> int:
    """Delete the sessions that have expired."""
    return Session.objects.filter(expire_date__lt=timezone.now()).delete()[0]


def mail_digest(message: dict[str, Any]) -> int:
    """Mail what was seen; the demo's mail goes to the console."""
    lines = [f"{page.url}: {page.status} after {page.checks} looks" for page in Page.objects.all()]
    return send_mail("What the demo saw", "\n".join(lines), "demo@localhost", ["you@localhost"])


def remind(message: dict[str, Any]) -> str:
    """Say what somebody asked to be reminded of, on the demo's page."""
    text = message["task"].userdata["text"]
    logger.info("Reminder: %s", text)
    return text


def countdown(message: dict[str, Any]) -> None:
    """Run ten times, and no more."""
