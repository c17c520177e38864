"""The schedule editor: the meaning of a schedule while you type it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import available_timezones

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.charts.strip import Strip, day_strip, week_strip
from sisy.dashboard.dst_notes import Occurrence, with_notes
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Page, Part
from sisy.dashboard.parameters import any_text, elsewhere
from sisy.exceptions import ScheduleError
from sisy.reports import formatting
from sisy.schedules import Schedule
from sisy.schedules.expression import field_of, fields_of

MAX_OCCURRENCES_SHOWN = 10
COMMON = (
    ("* * * * *", _("every minute")),
    ("*/5 * * * *", _("every 5 minutes")),
    ("* * * * * */10", _("every 10 seconds")),
    ("0 * * * *", _("every hour")),
    ("0 3 * * *", _("every night at 3")),
    ("0 9 * * mon-fri", _("weekdays at 9")),
    ("0 8 * * mon", _("Mondays at 8")),
    ("0 0 1 * *", _("first day of the month")),
    ("0 0 l * *", _("last day of the month")),
    ("h h * * *", _("once a day, spread out")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """The meaning of an expression, or the error in it."""

    expression: str
    zone: str
    words: str = ""
    error: str = ""
    wrong_field: str = ""
    fields: list[tuple[str, str]] | None = None
    coming: list[Occurrence] | None = None
    strips: tuple[Strip, Strip] | None = None


class EditorPage(Page):
    """Shows a schedule in words, its next occurrences, and which field is invalid."""

    name = "editor"
    title = _("Schedule editor")
    asks = {"schedule": elsewhere, "timezone": elsewhere, "label": any_text}

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        return {"asked": _asked(page_request), "zones": sorted(available_timezones())}


def _asked(page_request: PageRequest) -> dict[str, str]:
    return {
        "schedule": page_request.asked.get("schedule", "*/5 * * * *"),
        "timezone": page_request.asked.get("timezone") or timezone.get_default_timezone_name(),
        "label": page_request.asked.get("label", "")[:255],
    }


def meaning(expression: str, zone: str, key: str, now: datetime) -> Meaning:
    """Return the meaning of an expression in a zone.

    Args:
        key: the label of the task, from which the values of ``h`` are derived.
    """
    found: dict[str, Any] = {"expression": expression, "zone": zone}
    try:
        found["fields"] = fields_of(expression)
        schedule = Schedule(expression, zone, key=key)
    except ScheduleError as error:
        return Meaning(**found, error=str(error), wrong_field=field_of(error))
    return Meaning(
        **found,
        words=formatting.words_of(expression, zone, key),
        coming=list(with_notes(schedule.upcoming(now, MAX_OCCURRENCES_SHOWN), zone, now)),
        strips=(day_strip(schedule, now), week_strip(schedule, now)),
    )


def build_presets(page_request: PageRequest) -> dict[str, Any]:
    asked = _asked(page_request)
    return {
        "asked": asked,
        "common": [
            (f"?{urlencode({**asked, 'schedule': expression})}", expression, words)
            for expression, words in COMMON
        ],
    }


def build_meaning(page_request: PageRequest) -> dict[str, Any]:
    asked = _asked(page_request)
    found = meaning(asked["schedule"], asked["timezone"], asked["label"], page_request.now)
    add = page_request.admin_address("sisy_task_add") if page_request.may("add_task") else ""
    query = urlencode({name: asked[name] for name in ("schedule", "timezone")})
    return {
        "meaning": found,
        "is_in_zone": all(_is_same_time(each.due, found.zone) for each in found.coming or ()),
        "add": f"{add}?{query}" if add and not found.error else "",
    }


def _is_same_time(moment: datetime, zone: str) -> bool:
    """Return whether a clock in a zone shows the same time as one in the zone of the page."""
    there = moment.astimezone(formatting.zone_named(zone))
    return there.utcoffset() == timezone.localtime(moment).utcoffset()


EditorPage.parts = (
    Part(name="presets", build=build_presets, stale_on=()),
    Part(name="meaning", build=build_meaning, stale_on=()),
)
