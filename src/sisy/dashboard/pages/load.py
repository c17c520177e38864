"""The page of what is due: by time, and as load, compared with the slots of the workers."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django import forms
from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.backfilling import Moment as MomentInput
from sisy.dashboard.backfilling import RangeForm, as_typed
from sisy.dashboard.charts.heat import by_day, squares
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import BEAT, Page, Part
from sisy.dashboard.parameters import elsewhere
from sisy.planning.timing import TICK
from sisy.reports import formatting
from sisy.reports.agenda import MAX_FREQUENT_NAMED, MAX_OCCURRENCES, Agenda, agenda
from sisy.reports.fleet import status
from sisy.reports.load import Cell, DueGroups, cells, due_groups
from sisy.reports.peaks import Moment, busiest, longest_wait, slots_by_queue
from sisy.reports.queue_pauses import pauses_of
from sisy.reports.timeline.window import Window

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
QUARTER = timedelta(minutes=15)
DAYS = 7
KEPT = 60  # seconds for which a result is cached
CACHED = ("due", "peaks", "busy", "map", "agenda", "range")

T = TypeVar("T")


class AgendaForm(RangeForm):
    """The range of the page, whose end is included, in the time zone in which it is shown."""

    start = forms.DateTimeField(label=_("From"), widget=MomentInput)
    end = forms.DateTimeField(label=_("To"), widget=MomentInput)

    def check(self) -> None:
        """Reject ranges that are too long for a list."""
        super().check()
        # By the clocks that people see: a week in which they change has an hour more or less.
        start, end = (as_typed(self.cleaned_data[name]) for name in ("start", "end"))
        if end - start > DAYS * DAY:
            given = {"most": formatting.span(DAYS * DAY), "length": formatting.span(end - start)}
            raise ValueError(
                gettext("The range is %(length)s long. Use at most %(most)s.") % given
            )


class LoadPage(Page):
    """Shows what is due when, and when many runs start at the same time, to spread them."""

    name = "load"
    title = _("Upcoming runs")
    sheets = ("sisy/load.css",)
    asks = {"start": elsewhere, "end": elsewhere}

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        return {"form": _form(page_request), "is_asked": _is_asked(page_request)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadMap:
    """The forecast, by 15 minutes for a day and by the hour for a week.

    Attributes:
        base: how many runs at least start in each cell of the day, and in each of the week. Bars
            and colours begin there, if that is most of the load.
    """

    day: list[Cell]
    week: list[Cell]

    @property
    def base(self) -> tuple[float, float]:
        return _base(self.day), _base(self.week)


def _base(cells: list[Cell]) -> float:
    least, most = (choose((one.starts for one in cells), default=0) for choose in (min, max))
    return least if most / 2 < least < most else 0.0


def build_load(page_request: PageRequest) -> dict[str, Any]:
    zone = timezone.get_current_timezone()
    found, load = groups_of(page_request), _map_of(page_request)
    day, week = load.day, load.week
    fleet = status(page_request.using, page_request.now)
    slots, by_queue = fleet.slots, slots_by_queue(fleet.workers)
    most_in_week = max((cell.starts for cell in week), default=0)
    most_in_day = max((cell.starts for cell in day), default=0)
    base_of_day, base_of_week = load.base
    ahead = _range_ahead(page_request)
    return {
        "plans": found,
        "slots": slots,
        "zone": timezone.get_current_timezone_name(),
        "day": squares(day, slots, most_in_day, base_of_day),
        "base_of_day": f"{base_of_day:,.0f}" if base_of_day else "",
        "least_in_day": round(base_of_day),
        "base_of_week": f"{base_of_week:,.0f}" if base_of_week else "",
        "ticks": Window(start=day[0].start, end=day[-1].start + QUARTER).ticks(zone),
        "most": f"{most_in_day:,.0f}",
        "most_above": f"{most_in_day - base_of_day:,.0f}",
        "week": [
            (name, _row(row, slots, most_in_week, base_of_week))
            for name, row in by_day(week, zone)
        ],
        "moments": [
            (
                moment,
                longest_wait(moment.work, by_queue),
                moment.is_spreadable and moment.exceeds(by_queue),
            )
            for moment in busiest_of(page_request, ahead)
        ],
        "is_asked": _is_asked(page_request),
        "busiest_in": ahead and _in_words(*ahead, page_request.now),
        "is_over": bool(slots) and any(cell.busy > slots for cell in (*day, *week)),
    }


def build_agenda(page_request: PageRequest) -> dict[str, Any]:
    now, asked = page_request.now, _range(page_request)
    start, end = asked or (now, now + DAY)
    found = _agenda(page_request, asked)
    first = found.names[:MAX_FREQUENT_NAMED]
    number = found.frequent - sum(1 + name.more for name in first) + len(first)
    return {
        "agenda": found,
        "pauses": pauses_of(page_request.using, found.queues, timezone.get_current_timezone()),
        "moments": [due for due in found.moments if due.at > now],
        "names": formatting.first_of([*map(str, first)], number, most=len(first)),
        "unlisted": found.frequent - sum(1 + name.more for name in found.names),
        "zone": timezone.get_current_timezone_name(),
        "most": MAX_OCCURRENCES,
        "asked": asked,
        "is_over": end <= now,
        "range": _in_words(start, end, now),
    }


def _in_words(start: datetime, end: datetime, now: datetime) -> str:
    """Return a range, its end without the date if that is the first such time after its start."""
    time = f"{timezone.localtime(end):%H:%M:%S}"
    until = time if end - start < DAY else formatting.brief(end, now)
    return gettext("from %(start)s to %(end)s") % {
        "start": formatting.brief(start, now),
        "end": until,
    }


def _is_asked(page_request: PageRequest) -> bool:
    """Return whether the address names a range, or a part of one."""
    return any(page_request.asked.get(name) for name in LoadPage.asks)


def _form(page_request: PageRequest) -> AgendaForm:
    """Return the form, bound to the range in the address; by default, with the next 24 hours."""
    if _is_asked(page_request):
        return AgendaForm(page_request.asked)
    start = as_typed(page_request.now.replace(second=0, microsecond=0))
    return AgendaForm(initial={"start": start, "end": start + DAY})


def _range(page_request: PageRequest) -> tuple[datetime, datetime] | None:
    """Return the range in the address; None if there is none, or it is not valid."""
    form = _form(page_request)
    if not form.is_valid():
        return None
    return form.cleaned_data["start"], form.cleaned_data["end"]


def _range_ahead(page_request: PageRequest) -> tuple[datetime, datetime] | None:
    """Return the range in the address, unless it is over."""
    asked = _range(page_request)
    return asked if asked and asked[1] > page_request.now else None


def _agenda(page_request: PageRequest, asked: tuple[datetime, datetime] | None) -> Agenda:
    """Return what is due in a range; by default, in the next 24 hours.

    Only one range is cached besides the next 24 hours: there are more of them than a cache stores.
    """
    using, now = page_request.using, page_request.now
    start, end = asked or (now, now + DAY)
    last = end + TICK if asked else end
    return _cached(
        page_request,
        "range" if asked else "agenda",
        lambda: agenda(using, groups_of(page_request, last).groups, max(start, now), last),
        asked,
    )


def _row(row: list[Cell | None], slots: int, most: float, base: float) -> list[Any]:
    """Return the squares of a day; None for hours outside the map."""
    there = [cell for cell in row if cell is not None]
    drawn = iter(squares(there, slots, most, base))
    return [None if cell is None else next(drawn) for cell in row]


def groups_of(page_request: PageRequest, until: datetime | None = None) -> DueGroups:
    """Return the groups of tasks that are due within a week, or before ``until`` if that is later.

    Those of a week are cached.
    """
    using, now = page_request.using, page_request.now
    week = _hour(page_request) + DAYS * DAY
    if until is not None and until > week:
        return due_groups(using, now, until)
    return _cached(page_request, "due", lambda: due_groups(using, now, week))


def busiest_of(
    page_request: PageRequest, asked: tuple[datetime, datetime] | None = None
) -> list[Moment]:
    """Return the busiest seconds of a range, whose end is included, or of the next 24 hours."""
    now = page_request.now
    start, last = (max(asked[0], now), asked[1] + TICK) if asked else (now, now + DAY)
    return _cached(
        page_request,
        "busy" if asked else "peaks",
        lambda: busiest(groups_of(page_request, last).groups, start, last),
        asked,
    )


def _map_of(page_request: PageRequest) -> LoadMap:
    def drawn() -> LoadMap:
        groups, hour = groups_of(page_request).groups, _hour(page_request)
        return LoadMap(
            day=cells(groups, _quarter(page_request), QUARTER, DAY // QUARTER),
            week=cells(groups, hour, HOUR, DAYS * DAY // HOUR),
        )

    return _cached(page_request, "map", drawn)


def forget(page_request: PageRequest) -> None:
    """Compute the forecast again when a page asks for it next."""
    cache.delete_many([_key(page_request, name) for name in CACHED])


def _cached(
    page_request: PageRequest, name: str, compute: Callable[[], T], about: Hashable = None
) -> T:
    """Return a part of the forecast, cached for a minute.

    Args:
        about: what is computed. If a part about something else is cached, this one replaces it.
    """
    known: tuple[Hashable, T] | None
    known = page_request.keys.get(name) or cache.get(_key(page_request, name))
    if known is None or known[0] != about:
        known = about, compute()
        cache.set(_key(page_request, name), known, KEPT)
    page_request.keys[name] = known
    return known[1]


def _hour(page_request: PageRequest) -> datetime:
    return page_request.now.replace(minute=0, second=0, microsecond=0)


def _quarter(page_request: PageRequest) -> datetime:
    """Return when the current 15 minutes began: the past has no tasks to show."""
    hour = _hour(page_request)
    return hour + (page_request.now - hour) // QUARTER * QUARTER


def _key(page_request: PageRequest, name: str) -> str:
    return f"sisy.load.{name}.{page_request.using}.{_hour(page_request):%Y%m%d%H}"


LoadPage.parts = (
    Part(name="agenda", build=build_agenda, stale_on=(BEAT,)),
    Part(name="map", build=build_load, stale_on=(BEAT,)),
)
