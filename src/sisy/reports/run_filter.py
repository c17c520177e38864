"""The filters of the page of runs, as its address contains them, and the orders of runs."""

import re
from dataclasses import dataclass, fields
from datetime import datetime, timedelta, tzinfo

from sisy.models import Origin, Run, RunState
from sisy.records.choices import FAILED_STATES
from sisy.reports.filters import Filter
from sisy.reports.ledger import PAGE_LIMIT, by_occurrence, key_of
from sisy.reports.run_search import RunSearch, find, processes_named
from sisy.reports.walk import Walked
from sisy.schedules import calendar

MAX_SORTED = 5000  # runs that are found before they are sorted by anything but their key
UNSUCCESSFUL = "unsuccessful"
NEWEST, DURATION, DELAY = SORTS = ("newest", "duration", "delay")

AGO = re.compile(r"(\d{1,4})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter(Filter):
    """The filters of a list of runs, and its order.

    Attributes:
        since: how long ago the range begins.
        start: the moment at which it begins; the later of the two counts.
    """

    choices = {
        "state": [*RunState.values, UNSUCCESSFUL],
        "origin": Origin.values,
        "sort": SORTS,
    }

    state: str = ""
    since: str = ""
    start: str = ""
    until: str = ""
    search: str = ""
    task: str = ""
    function: str = ""
    queue: str = ""
    origin: str = ""
    worker: str = ""
    text: str = ""
    sort: str = ""

    @property
    def is_anything(self) -> bool:
        """Return whether all runs match."""
        return not any(getattr(self, each.name) for each in fields(self) if each.name != "sort")

    @property
    def is_detailed(self) -> bool:
        """Return whether it uses any of the filters that are seldom needed."""
        return bool(
            self.function or self.worker or self.text or self.origin or self.start or self.until
        )

    @property
    def is_sorted(self) -> bool:
        return self.sort in SORTS[1:]

    def range_in(self, zone: tzinfo, now: datetime) -> tuple[datetime | None, datetime | None]:
        """Return the beginning and the end of the range; None where it has none.

        Args:
            zone: the time zone of moments that name none.
        """
        beginnings = (moment_in_text(text, zone, now) for text in (self.since, self.start))
        since = max(filter(None, beginnings), default=None)
        return since, moment_in_text(self.until, zone, now)

    def search_in(self, using: str, now: datetime, zone: tzinfo, *, in_full: bool) -> RunSearch:
        """Return the search that the filters mean.

        Args:
            zone: the time zone of moments that name none.
            in_full: whether the reader may read reasons and errors. Others cannot search in them.
        """
        states = FAILED_STATES if self.state == UNSUCCESSFUL else _one(self.state)
        since, until = self.range_in(zone, now)
        return RunSearch(
            since=since,
            until=until,
            states=tuple(states),
            queues=_one(self.queue),
            # No task has the key 0, so anything but a key matches nothing.
            tasks=(key_of(self.task) or 0,) if self.task else (),
            part_of_label=self.search,
            function=self.function,
            origins=_one(self.origin),
            processes=processes_named(using, self.worker) if self.worker else None,
            text=self.text if in_full else "",
        )


def _one(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def moment_in_text(text: str, zone: tzinfo, now: datetime) -> datetime | None:
    """Return the moment that a text names, or None if it names none.

    Args:
        text: ISO 8601, or how long ago, such as ``90m``, ``24h`` or ``7d``.
        zone: the zone of a text without one.
    """
    if ago := AGO.fullmatch(text.strip()):
        return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return aware if calendar.is_within(aware) else None


def page_of_runs(
    using: str, search: RunSearch, filters: RunFilter, before: int | None, least: int = 0
) -> Walked:
    """Return a page of runs. Any order but the newest first applies to those that were found.

    Args:
        least: the ``looked_at`` of the page as it is shown, to refresh it.
    """
    most = MAX_SORTED if filters.is_sorted else PAGE_LIMIT
    found = find(using, search, before=before, most=most, least=least)
    sort_runs(found.runs, filters.sort, search)
    return found


def sort_runs(runs: list[Run], order: str, search: RunSearch) -> None:
    """Sort runs that were found newest first, in place. Those of one task have occurrences.

    Args:
        order: a value of `SORTS`: newest first, or with the longest duration or delay first.
    """
    if order in ("", NEWEST):
        if len(search.tasks) == 1:
            runs[:] = by_occurrence(runs)
    else:
        runs.sort(key=_longest if order == DURATION else _latest, reverse=True)


def _longest(run: Run) -> timedelta:
    return run.duration or timedelta(0)


def _latest(run: Run) -> timedelta:
    return run.lateness or timedelta(0)
