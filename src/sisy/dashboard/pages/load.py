"""The page of the upcoming load, compared with the slots of the workers."""

from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.charts.heat import by_day, shortened, squares
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import BEAT, Page, Part
from sisy.reports.fleet import status
from sisy.reports.load import Cell, DueGroups, busiest, cells, due_groups
from sisy.reports.timeline.window import Window

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
QUARTER = timedelta(minutes=15)
DAYS = 7
KEPT = 60  # seconds for which a result is cached


class LoadPage(Page):
    """Shows when many runs start at the same time, so that they can be spread."""

    name = "load"
    title = _("Upcoming load")


def build_load(page_request: PageRequest) -> dict[str, Any]:
    zone = timezone.get_current_timezone()
    found, day, week, moments = _computed(page_request)
    slots = status(page_request.using, page_request.now).slots
    most_in_week = max((cell.starts for cell in week), default=0)
    most_in_day = max((cell.starts for cell in day), default=0)
    return {
        "plans": found,
        "slots": slots,
        "zone": timezone.get_current_timezone_name(),
        "day": squares(day, slots, most_in_day),
        "ticks": Window(start=day[0].start, end=day[-1].start + QUARTER).ticks(zone),
        "most": shortened(most_in_day),
        "week": [(name, _row(row, slots, most_in_week)) for name, row in by_day(week, zone)],
        "moments": moments,
        "is_over": any(cell.busy > slots for cell in (*day, *week)),
    }


def _row(row: list[Cell | None], slots: int, most: float) -> list[Any]:
    """Return the squares of a day; None for hours outside the map."""
    there = [cell for cell in row if cell is not None]
    drawn = iter(squares(there, slots, most))
    return [None if cell is None else next(drawn) for cell in row]


def _computed(page_request: PageRequest) -> tuple[DueGroups, list[Cell], list[Cell], list[Any]]:
    """Return the forecast, cached for a minute."""
    hour = page_request.now.replace(minute=0, second=0, microsecond=0)
    key = f"sisy.load.{page_request.using}.{hour:%Y%m%d%H}"
    if (known := cache.get(key)) is None:
        known = compute(page_request.using, page_request.now, hour)
        cache.set(key, known, KEPT)
    computed: tuple[DueGroups, list[Cell], list[Cell], list[Any]] = known
    return computed


def compute(
    using: str, now: datetime, hour: datetime
) -> tuple[DueGroups, list[Cell], list[Cell], list[Any]]:
    """Return the forecast from ``hour`` on: a day by 15 minutes, a week by the hour."""
    found = due_groups(using, now, hour + DAYS * DAY)
    day = cells(found.groups, hour, QUARTER, DAY // QUARTER)
    week = cells(found.groups, hour, HOUR, DAYS * DAY // HOUR)
    return found, day, week, busiest(found.groups, now, now + DAY)


LoadPage.parts = (Part(name="map", build=build_load, stale_on=(BEAT,)),)
