"""Walk back over runs whose filter no index serves, without ever reading many.

An index serves the key of a run, the runs of a task, and the entries of runs in a state. The walk
takes the newest keys from one of these, looks which of their runs match the rest of the filter,
and continues with the next keys. It stops when it has found enough, after `MAX_LOOKED_AT` runs, or
after `MAX_SECONDS`. It returns how far it looked, so that the reader can continue from there.

How far a walk gets in its time varies. A page that repeats a walk to
refresh itself passes how many runs the last one looked at. The next one looks at as many, whatever
its time, so that no run disappears from the page only because the database was slower.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db.models import Q

from sisy import clock
from sisy.models import Run
from sisy.reports.ledger import listed

MAX_LOOKED_AT = 10_000  # runs
MAX_SECONDS = 0.2
MAX_COUNTING_SECONDS = 0.05  # in addition, for a page that has found enough
BATCH = 500  # runs of one statement; the time is read between two statements

Page = Callable[[int | None, int], list[int]]
"""Returns the newest keys below a key, or of all keys for None: at most that many."""


def newest_first(*pages: Page, before: int | None = None) -> Iterator[int]:
    """Yield the keys from several indexes, newest first. Each index is read a page at a time.

    Args:
        before: the key below which to begin; None for the newest run.
    """
    return heapq.merge(*(_paged(page, before) for page in pages), reverse=True)


def _paged(page: Page, before: int | None) -> Iterator[int]:
    while keys := page(before, BATCH):
        yield from keys
        if len(keys) < BATCH:
            return
        before = keys[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """The runs that a walk has found, and how far it looked.

    Attributes:
        runs: the matching runs, newest first.
        looked_at: the number of runs that it looked at, matching or not.
        back_to: when the oldest of these was planned; None if there was none.
        next_before: the key below which to continue; None if it looked at all runs.
        is_cut_short: whether it stopped because of a limit, not because it had found enough.
    """

    runs: list[Run]
    looked_at: int
    back_to: datetime | None
    next_before: int | None
    is_cut_short: bool = False


def walk(using: str, keys: Iterator[int], wanted: Q, *, most: int, least: int = 0) -> Walked:
    """Return the newest runs that match, and how far it looked.

    Args:
        keys: the keys of the runs, newest first; see `newest_first`.
        wanted: the conditions that no index serves.
        most: the number of runs that are enough.
        least: the number of runs that it looks at even if its time is over.
    """
    began = clock.steady()
    found: list[Run] = []
    looked_at, last_key = 0, None
    while True:
        batch = min(BATCH, MAX_LOOKED_AT - looked_at)
        read = list(islice(keys, batch))
        looked_at += len(read)
        if read:
            # By key, so that the database reads these rows and no others, whatever the conditions.
            runs = listed(using).select_related("process").filter(wanted, pk__in=read)
            found += runs.order_by("-pk")[: most + 1 - len(found)]
            last_key = read[-1]
        if len(found) > most:
            last = found[most - 1]
            return Walked(
                runs=found[:most],
                looked_at=looked_at,
                back_to=last.planned_at,
                next_before=last.pk,
            )
        is_over = len(read) < batch
        is_late = looked_at >= least and clock.steady() - began >= MAX_SECONDS
        if is_over or is_late or looked_at >= MAX_LOOKED_AT:
            return Walked(
                runs=found,
                looked_at=looked_at,
                back_to=_planned_at(using, last_key),
                next_before=None if is_over else last_key,
                is_cut_short=not is_over,
            )


def count(using: str, keys: Iterator[int], wanted: Q, *, most: int) -> tuple[int, bool]:
    """Return how many runs match, and whether these are all, with limits as of `walk`.

    Args:
        keys: the keys of the runs, newest first; see `newest_first`.
        wanted: the conditions that no index serves.
        most: the number of runs after which it stops.
    """
    began = clock.steady()
    number = looked_at = 0
    while number <= most and looked_at < MAX_LOOKED_AT:
        if looked_at and clock.steady() - began >= MAX_COUNTING_SECONDS:
            break
        read = list(islice(keys, BATCH))
        looked_at += len(read)
        if read:
            number += Run.objects.using(using).filter(wanted, pk__in=read).count()
        if len(read) < BATCH:
            return number, True
    return min(number, most), False


def _planned_at(using: str, key: int | None) -> datetime | None:
    """Return when a run was planned; None for no run, or for one that was just pruned."""
    if key is None:
        return None
    planned = Run.objects.using(using).filter(pk=key)
    return planned.values_list("planned_at", flat=True).first()
