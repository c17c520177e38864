"""Read from a form why, and until when, tasks or a queue are paused."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sisy.reports import formatting
from sisy.reports.ledger import key_of

PAUSE_HOURS = (1, 8, 24, 168)
"""The hours after which people can let a pause end."""
MAX_REASON_LENGTH = 300


def pause_of(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the reason and the end of a pause; the end is None if people must resume."""
    return {
        "reason": form.get("reason", "").strip()[:MAX_REASON_LENGTH],
        "until": _end_in(form.get("hours", "")),
    }


def _end_in(hours: str) -> datetime | None:
    wanted = key_of(hours)
    return formatting.now() + timedelta(hours=wanted) if wanted in PAUSE_HOURS else None
