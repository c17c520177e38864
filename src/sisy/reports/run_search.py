"""Search runs by everything that people know of them, newest first, with a bounded effort.

`find` chooses the index that leads to the runs: the entries of their states, the history of their
tasks, or the key. `sisy.reports.walk` then looks for the other conditions.

A range contains a run that was planned before its end, and had not ended before its beginning. To
find its runs by their keys, a search looks at runs that were planned up to `LONGEST_LIFE` before
the beginning.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from sisy.models import Process, Run, RunState
from sisy.records.choices import LIVE_STATES
from sisy.records.small_tables import TroubledRun
from sisy.reports.by_state import entries, keys_of
from sisy.reports.walk import MAX_LOOKED_AT, Page, Walked, count, newest_first, walk
from sisy.store.reports import AFTER_ALL, KEY_SLACK, key_at, newest_keys

LONGEST_LIFE = timedelta(days=1)  # of runs that a range finds although they were planned before it
MAX_TASKS = 50  # tasks whose histories are read, each from its own index
MAX_PROCESSES = 1000  # processes of a host


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSearch:
    """The criteria of a search; an empty field accepts any run.

    Attributes:
        since: the beginning of the range.
        until: the end of the range (exclusive).
        states: values of `RunState`.
        queues: names of queues.
        tasks: keys of tasks, which may have been deleted.
        label: the label of runs.
        part_of_label: a part of it, ignoring case.
        function: the dotted path of the function, or its last parts.
        origins: values of `Origin`.
        processes: keys of processes; see `processes_named`.
        text: a part of the reason or the error, ignoring case. Only for people who may read both.
    """

    since: datetime | None = None
    until: datetime | None = None
    states: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tasks: tuple[int, ...] = ()
    label: str = ""
    part_of_label: str = ""
    function: str = ""
    origins: tuple[str, ...] = ()
    processes: tuple[int, ...] | None = None
    text: str = ""

    def conditions(self) -> Q:
        """Return everything that a run must fulfil, whichever index leads to it."""
        wanted = Q()
        for column, values in (
            ("state", self.states),
            ("queue", self.queues),
            ("task", self.tasks),
            ("origin", self.origins),
        ):
            if values:
                wanted &= Q(**{f"{column}__in": values})
        if self.since is not None:
            wanted &= Q(finished_at=None) | Q(finished_at__gte=self.since)
        if self.until is not None:
            wanted &= Q(planned_at__lt=self.until)
        if self.label:
            wanted &= Q(label=self.label)
        if self.part_of_label:
            wanted &= Q(label__icontains=self.part_of_label)
        if self.function:
            path = self.function
            wanted &= Q(target_path=path) | Q(target_path__endswith=f".{path}")
        if self.processes is not None:
            wanted &= Q(process__in=self.processes)
        if self.text:
            wanted &= Q(reason__icontains=self.text) | Q(error__icontains=self.text)
        return wanted


def find(
    using: str, search: RunSearch, *, before: int | None = None, most: int, least: int = 0
) -> Walked:
    """Return the newest runs that match, and how far it looked.

    Args:
        before: the ``next_before`` of an earlier answer, to continue it.
        most: the number of runs that are enough.
        least: the ``looked_at`` of an earlier answer, to repeat it.
    """
    keys = _keys(using, search, before)
    return walk(using, keys, search.conditions(), most=most, least=least)


def count_older(using: str, search: RunSearch, before: int, *, most: int) -> tuple[int, bool]:
    """Return how many runs below a key match, and whether these are all.

    Args:
        before: the ``next_before`` of an answer.
        most: the number of runs after which it stops. It also stops where a search does.
    """
    return count(using, _keys(using, search, before), search.conditions(), most=most)


def find_all(
    using: str, search: RunSearch, *, before: int | None = None, most: int = MAX_LOOKED_AT
) -> Iterator[Walked]:
    """Yield the parts of an answer, until all runs were searched or ``most`` were found.

    Args:
        before: the ``next_before`` of an earlier answer, to continue it.
    """
    left = most
    while left > 0:
        part = find(using, search, before=before, most=left)
        yield part
        before, left = part.next_before, left - len(part.runs)
        if before is None:
            return


def processes_named(using: str, name: str) -> tuple[int, ...]:
    """Return the keys of the processes of a host, or of the one with a name such as 7@host."""
    processes = Process.all_objects.using(using)
    pid, at, host = name.rpartition("@")
    pid = pid.rpartition(" ")[2]  # "worker 7@host" is the name on pages
    if at:
        if not (pid.isascii() and pid.isdigit() and len(pid) < 10):
            return ()
        processes = processes.filter(pid=int(pid))
    found = processes.filter(host=host).order_by("-pk").values_list("pk", flat=True)
    return tuple(found[:MAX_PROCESSES])


def _keys(using: str, search: RunSearch, before: int | None) -> Iterator[int]:
    """Return keys that include those of all matching runs, from the index that has the fewest."""
    if search.until is not None:
        # Keys are a little out of order.
        end = key_at(using, search.until + KEY_SLACK)
        before = end if before is None else min(before, end)
    states = set(search.states)
    if states and states <= set(LIVE_STATES):
        keys = _live_keys(using, search)
        if keys is not None:
            return iter([key for key in keys if before is None or key < before])
    first = _first_key(using, search)
    tasks = search.tasks if len(search.tasks) <= MAX_TASKS else ()
    if states and not states & {*LIVE_STATES, RunState.SUCCEEDED}:
        troubled = TroubledRun.objects.using(using).filter(run_id__gte=first)
        # Each state and task by itself: an index has their entries in the order of the keys.
        each = (
            [troubled.filter(task_id=task) for task in tasks]
            if tasks
            else [troubled.filter(state=state) for state in search.states]
        )
        return newest_first(*(_page_of_entries(rows) for rows in each), before=before)
    if tasks:
        histories = (_page_of_task(using, task, first) for task in tasks)
        return newest_first(*histories, before=before)
    return newest_first(_page_of_ledger(using, first), before=before)


def _first_key(using: str, search: RunSearch) -> int:
    """Return the key with which the range begins; 0 for no range."""
    if search.since is None:
        return 0
    return key_at(using, search.since - LONGEST_LIFE - KEY_SLACK)


def _live_keys(using: str, search: RunSearch) -> list[int] | None:
    """Return the keys of all live runs, newest first; None if there are too many.

    No index has the entries of live runs by key alone. They are few, unless a backlog has built
    up. Then, the newest runs of the ledger are mostly live, and a walk finds these soon.
    """
    found: set[int] = set()
    for state in search.states:
        of_state: QuerySet[Any] = entries(using, state).order_by()
        if search.tasks:
            of_state = of_state.filter(task_id__in=search.tasks)
        found.update(of_state.values_list("run_id", flat=True)[: MAX_LOOKED_AT + 1])
        if len(found) > MAX_LOOKED_AT:
            return None
    return sorted(found, reverse=True)


def _page_of_entries(rows: QuerySet[Any]) -> Page:
    return lambda before, most: keys_of(rows, most, before)


def _page_of_task(using: str, task: int, first: int) -> Page:
    def page(before: int | None, most: int) -> list[int]:
        found = newest_keys(using, [task], most, AFTER_ALL if before is None else before)
        return sorted((key for key in found if key >= first), reverse=True)

    return page


def _page_of_ledger(using: str, first: int) -> Page:
    def page(before: int | None, most: int) -> list[int]:
        runs = Run.objects.using(using).filter(pk__gte=first)
        if before is not None:
            runs = runs.filter(pk__lt=before)
        return list(runs.order_by("-pk").values_list("pk", flat=True)[:most])

    return page


def in_states(search: RunSearch, states: tuple[str, ...]) -> RunSearch:
    """Return the search, limited to these states unless it names any itself."""
    return search if search.states else replace(search, states=states)
