"""The days of a year as cells: a column for each week, a row for each day of the week."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from urllib.parse import urlencode

from django.utils import dates
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.reports import formatting
from sisy.reports.daily import Day, Days

WEEKS = 53
CELL, STEP = 13, 16  # pixels
LEFT, TOP = 34, 18  # pixels, for the names of weekdays and months
WIDTH = LEFT + WEEKS * STEP
HEIGHT = TOP + 7 * STEP
ONE = timedelta(days=1)

MEANINGS = {
    "good": _("all runs succeeded"),
    "some": _("some failed"),
    "bad": _("at least half failed"),
    "warn": _("missed, skipped or cancelled"),
    "none": _("no runs"),
    "unknown": _("not counted"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A day with its position, its class in the style sheet, and its counts in words."""

    x: int
    y: int
    day: date
    looks: str
    words: str
    counts: Day | None
    query: str
    """The filters of the page of runs that list the runs of the day."""

    @property
    def is_link(self) -> bool:
        return self.counts is not None and bool(self.counts.states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """The cells of a year, and the names at its edges with their positions."""

    cells: list[Cell]
    months: list[tuple[int, str]]
    weekdays: list[tuple[int, str]]

    width, height = WIDTH, HEIGHT

    @property
    def known(self) -> list[Cell]:
        """The days with runs, the newest first."""
        return [cell for cell in reversed(self.cells) if cell.is_link]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The classes of the cells, with their meaning, without those that no cell has."""
        drawn = {cell.looks for cell in self.cells}
        return [(looks, str(words)) for looks, words in MEANINGS.items() if looks in drawn]


def first_day(today: date) -> date:
    """Return the Monday with which the year begins."""
    return today - timedelta(days=today.weekday(), weeks=WEEKS - 1)


def year_of(days: Days, today: date, zone: tzinfo) -> Year:
    """Return the cells of the year that ends with ``today``.

    Args:
        zone: the zone in which a day begins and ends.
    """
    cells = [_cell(days, day, number, zone) for number, day in enumerate(_until(today))]
    months = [
        (cell.x, str(dates.MONTHS_3[cell.day.month]).capitalize())
        for cell in cells
        if cell.day.day <= 7 and cell.y == TOP
    ]
    weekdays = [(TOP + STEP * day + CELL - 2, str(dates.WEEKDAYS_ABBR[day])) for day in (0, 2, 4)]
    return Year(cells=cells, months=months, weekdays=weekdays)


def _until(today: date) -> Iterator[date]:
    day = first_day(today)
    while day <= today:
        yield day
        day += ONE


def _cell(days: Days, day: date, number: int, zone: tzinfo) -> Cell:
    week, weekday = divmod(number, 7)
    counts = days.at(day)
    return Cell(
        x=LEFT + week * STEP,
        y=TOP + weekday * STEP,
        day=day,
        looks=_looks(counts),
        words=f"{day:%Y-%m-%d}: {_in_words(counts)}",
        counts=counts,
        query=urlencode({"since": _midnight(day, zone), "until": _midnight(day + ONE, zone)}),
    )


def _midnight(day: date, zone: tzinfo) -> str:
    return datetime.combine(day, time.min, zone).isoformat()


def _looks(day: Day | None) -> str:
    if day is None:
        return "unknown"
    if day.failed:
        return "bad" if day.is_complete and day.failed >= day.succeeded else "some"
    if day.missed:
        return "warn"
    if day.succeeded:
        return "good"
    if day.others:
        return "warn"
    return "none" if day.is_complete else "unknown"


def _in_words(day: Day | None) -> str:
    if day is None:
        return gettext("not counted")
    counted = formatting.counted_states(day.states)
    if not day.is_complete:
        counted.append(gettext("successful runs are not counted"))
    return ", ".join(counted) or gettext("no runs")
