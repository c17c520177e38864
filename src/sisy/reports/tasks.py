"""The list of tasks: filtered, sorted, a page at a time, however many tasks there are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from django.db.models import F, Q, QuerySet

from sisy.models import Task, TaskState
from sisy.reports.filters import Filter
from sisy.reports.ledger import key_of
from sisy.reports.task_groups import KEYS, TaskGroup, groups_of, in_trouble, with_group
from sisy.reports.task_rows import TaskRow, row_of, similar_together, with_problems
from sisy.schedules import calendar

PAGE_LIMIT = 50  # rows
MAX_TASKS_READ = 150  # of a page on which similar tasks share rows
SORTS = {"label": "label", "next_run": "next_run", "last_run": "last_run"}
NEEDS_ATTENTION = "attention"
NO_GROUPS = "none"
"""The ``group`` of a list in which each task has a row of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter(Filter):
    """The filters and the order of a list of tasks."""

    choices = {
        "state": [*TaskState.values, NEEDS_ATTENTION],
        "sort": list(SORTS),
        "group": [*KEYS, NO_GROUPS],
    }

    search: str = ""
    state: str = ""
    queue: str = ""
    target: str = ""
    sort: str = "label"
    group: str = ""
    only: str = ""

    @property
    def is_anything(self) -> bool:
        return not (self.search or self.state or self.queue or self.target or self.only)

    @property
    def is_grouped(self) -> bool:
        return self.group in KEYS

    @property
    def shares_rows(self) -> bool:
        """Return whether similar tasks share a row: in the list of all tasks, by their labels."""
        return self.is_anything and not self.group and self.sort == "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The position of a task in the list, after which a page begins."""

    group: str
    value: str | datetime
    pk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """A page of the list.

    Attributes:
        rows: its tasks in their order; similar ones share a row if `TaskFilter.shares_rows`.
        groups: its groups, and later groups; empty if the list is not grouped.
        next: the ``after`` of the next page; empty if this is the last one.
    """

    rows: list[TaskRow]
    groups: list[TaskGroup]
    next: str


def find(using: str, filters: TaskFilter, after: str = "", *, now: datetime) -> TaskPage:
    """Return a page of tasks.

    Args:
        after: the ``next`` of the previous page.
        now: when tasks with recent problems have rows of their own.
    """
    # An unknown order falls back to the default one: it does not change which tasks are found.
    column = SORTS.get(filters.sort, SORTS["label"])
    chosen = matching(using, filters)
    is_latest_first = column == "last_run"
    by = F(column).desc(nulls_last=True) if is_latest_first else F(column).asc(nulls_last=True)
    order = [F("group_key").asc(), by] if filters.is_grouped else [by]
    tasks, place = chosen, place_of(after, filters)
    if place is not None:
        tasks = tasks.filter(_behind(column, place, is_latest_first, filters.is_grouped))
    most = MAX_TASKS_READ if filters.shares_rows else PAGE_LIMIT
    found = list(tasks.order_by(*order, "pk")[: most + 1])
    if filters.shares_rows:
        rows = _sharing_rows(found, with_problems(using, now), is_first_page=place is None)
    else:
        rows = [row_of(task) for task in found[:PAGE_LIMIT]]
    shown = found[: sum(len(row.tasks) for row in rows)]
    groups = (
        groups_of(using, chosen, shown, is_first_page=place is None) if filters.is_grouped else []
    )
    is_last = len(shown) == len(found)
    return TaskPage(
        rows=rows, groups=groups, next="" if is_last else _place_in_words(shown[-1], filters)
    )


def _sharing_rows(
    found: Sequence[Task], alone: Collection[int], *, is_first_page: bool
) -> list[TaskRow]:
    """Return the rows of the first tasks, as many as fit on a page."""
    shown = found[:MAX_TASKS_READ]
    rows = similar_together(shown, alone)
    if len(rows) > PAGE_LIMIT:
        # Up to a task, so that the next page begins with the one after it.
        shown = shown[: shown.index(rows[PAGE_LIMIT].tasks[0])]
    is_all = is_first_page and len(shown) == len(found)
    return similar_together(shown, alone, is_all=is_all)


def _place_in_words(task: Any, filters: TaskFilter) -> str:
    value = getattr(task, SORTS.get(filters.sort, SORTS["label"]))
    text = value.isoformat() if isinstance(value, datetime) else (value or "")
    group = f"{quote(task.group_key, safe='')}|" if filters.is_grouped else ""
    return f"{group}{text}|{task.pk}"


def matching(using: str, filters: TaskFilter) -> QuerySet[Any]:
    """Return the tasks that the filters choose, in no order."""
    tasks: QuerySet[Any] = Task.objects.using(using)
    if filters.search:
        tasks = tasks.filter(
            Q(label__icontains=filters.search) | Q(target_path__icontains=filters.search)
        )
    if filters.state == NEEDS_ATTENTION:
        tasks = tasks.filter(in_trouble(using))
    elif filters.state:
        tasks = tasks.filter(state=filters.state)
    if filters.queue:
        tasks = tasks.filter(queue=filters.queue)
    if filters.target:
        tasks = tasks.filter(target_path=filters.target)
    if filters.is_grouped:
        tasks = with_group(tasks, filters.group)
    if filters.only:
        tasks = tasks.filter(group_key=filters.only) if filters.is_grouped else tasks.none()
    return tasks


def place_of(after: str, filters: TaskFilter) -> Place | None:
    """Return the position after which a page begins; None if ``after`` is not valid."""
    text, _, key = after.rpartition("|")
    if (pk := key_of(key)) is None:
        return None
    group, _, text = text.partition("|") if filters.is_grouped else ("", "", text)
    value: str | datetime = text
    if text and SORTS.get(filters.sort, SORTS["label"]) != "label":
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            return None
        if not (value.tzinfo and calendar.is_within(value)):
            return None
    return Place(group=unquote(group), value=value, pk=pk)


def _behind(column: str, place: Place, is_latest_first: bool, is_grouped: bool) -> Q:
    """Return the condition for tasks that come after a place."""
    if not place.value:
        behind = Q(**{f"{column}__isnull": True}, pk__gt=place.pk)
    else:
        further = "lt" if is_latest_first else "gt"
        behind = Q(**{f"{column}__{further}": place.value})
        behind |= Q(**{column: place.value}, pk__gt=place.pk)
        if column != "label":
            behind |= Q(**{f"{column}__isnull": True})
    if not is_grouped:
        return behind
    return Q(group_key__gt=place.group) | Q(group_key=place.group) & behind
