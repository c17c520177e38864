"""The list of tasks: filtered, sorted, a page at a time, however many tasks there are."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, QuerySet

from sisy.models import Task, TaskState
from sisy.reports.filters import Filter
from sisy.reports.ledger import key_of
from sisy.schedules import calendar

PAGE_LIMIT = 50
SORTS = {"label": "label", "next_run": "next_run", "last_run": "last_run"}
NEEDS_ATTENTION = "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter(Filter):
    """The filters and the order of a list of tasks."""

    choices = {"state": [*TaskState.values, NEEDS_ATTENTION], "sort": list(SORTS)}

    search: str = ""
    state: str = ""
    queue: str = ""
    target: str = ""
    sort: str = "label"

    @property
    def is_anything(self) -> bool:
        return not (self.search or self.state or self.queue or self.target)


def find(using: str, filters: TaskFilter, after: str = "") -> tuple[list[Task], str]:
    """Return a page of tasks, and the ``after`` of the next page; empty if this is the last.

    Args:
        after: what the previous page returned.
    """
    # An unknown order falls back to the default one: it does not change which tasks are found.
    column = SORTS.get(filters.sort, SORTS["label"])
    tasks = _filtered(Task.objects.using(using), filters)
    is_latest_first = column == "last_run"
    by = F(column).desc(nulls_last=True) if is_latest_first else F(column).asc(nulls_last=True)
    if place := place_of(after, filters.sort):
        tasks = tasks.filter(_behind(column, *place, is_latest_first))
    found = list(tasks.order_by(by, "pk")[: PAGE_LIMIT + 1])
    if len(found) <= PAGE_LIMIT:
        return found, ""
    last = found[PAGE_LIMIT - 1]
    value = getattr(last, column)
    text = value.isoformat() if isinstance(value, datetime) else (value or "")
    return found[:PAGE_LIMIT], f"{text}|{last.pk}"


def _filtered(tasks: "QuerySet[Task]", filters: TaskFilter) -> "QuerySet[Task]":
    if filters.search:
        tasks = tasks.filter(
            Q(label__icontains=filters.search) | Q(target_path__icontains=filters.search)
        )
    if filters.state == NEEDS_ATTENTION:
        tasks = tasks.filter(Q(state=TaskState.BROKEN) | ~Q(target_error=""))
    elif filters.state:
        tasks = tasks.filter(state=filters.state)
    if filters.queue:
        tasks = tasks.filter(queue=filters.queue)
    if filters.target:
        tasks = tasks.filter(target_path=filters.target)
    return tasks


def place_of(after: str, sort: str) -> tuple[str | datetime, int] | None:
    """Return the value and the key after which a page begins; None if ``after`` is not valid."""
    text, _, key = after.rpartition("|")
    if (pk := key_of(key)) is None:
        return None
    if not text or SORTS.get(sort, SORTS["label"]) == "label":
        return text, pk
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment, pk) if moment.tzinfo and calendar.is_within(moment) else None


def _behind(column: str, value: str | datetime, pk: int, is_latest_first: bool) -> Q:
    """Return the condition for tasks that come after a value and a key."""
    if not value:
        return Q(**{f"{column}__isnull": True}, pk__gt=pk)
    further = "lt" if is_latest_first else "gt"
    behind = Q(**{f"{column}__{further}": value}) | Q(**{column: value}, pk__gt=pk)
    return behind | Q(**{f"{column}__isnull": True}) if column != "label" else behind
