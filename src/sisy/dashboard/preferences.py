"""The time zone and the theme that a reader chose for all pages. Cookies keep both."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

SITE = "site"
ZONES = {SITE: _("Site"), "mine": _("Browser"), "utc": _("UTC"), "task": _("Task")}
"""The choices of a time zone. A task's zone is used on the pages of tasks and runs."""

SYSTEM = "system"
THEMES = {SYSTEM: _("System"), "light": _("Light"), "dark": _("Dark")}

ZONE_COOKIE, MINE_COOKIE, THEME_COOKIE = "sisy_zone", "sisy_my_zone", "sisy_theme"
MAX_ZONE_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """The choices of one reader; those that a cookie does not name validly are the defaults.

    Attributes:
        mine: the time zone of the reader's browser; empty if it is not known.
    """

    zone: str = SITE
    mine: str = ""
    theme: str = SYSTEM

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        """Return the choices that the request's cookies name."""
        zone = request.COOKIES.get(ZONE_COOKIE, "")
        theme = request.COOKIES.get(THEME_COOKIE, "")
        return cls(
            zone=zone if zone in ZONES else SITE,
            mine=request.COOKIES.get(MINE_COOKIE, ""),
            theme=theme if theme in THEMES else SYSTEM,
        )

    def timezone(self, of_task: str = "") -> tzinfo | None:
        """Return the time zone of a page; None for the one of the site.

        Args:
            of_task: the zone of the task that the page is about; empty if it is about none.
        """
        if self.zone == "utc":
            return UTC
        return zone_or_none({"mine": self.mine, "task": of_task}.get(self.zone, ""))


def zone_or_none(name: str) -> tzinfo | None:
    """Return the time zone with a name; None if there is none."""
    if not name or len(name) > MAX_ZONE_LENGTH:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError, OSError):  # the name of a folder is an OSError
        return None
