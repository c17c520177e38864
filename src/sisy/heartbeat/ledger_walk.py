"""Walk the ledger in the order of its keys, from the oldest run to those that are too young.

No index of the ledger contains a moment, because an update of an indexed column costs PostgreSQL
twice as much. The keys are ordered by time instead: they grow with ``planned_at``, except that a
long transaction commits its runs late. So a walk starts over from time to time, and finds these
runs then.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import BooleanField, ExpressionWrapper, Q

from sisy.models import Run
from sisy.records.choices import LIVE_STATES, RunState


class Step(NamedTuple):
    """A run that a walk has reached.

    Attributes:
        is_over: whether it finished before the moment up to which the walk goes.
    """

    pk: int
    state: RunState
    is_over: bool


class Walk:
    """A position in the ledger, from which the next part is read.

    Args:
        after: the key after which the walk begins.

    Attributes:
        after: the key of the last run that was reached.
        has_arrived: whether the last part ended before a run that is too young, or at the end.
    """

    def __init__(self, using: str, after: int = 0) -> None:
        self._using = using
        self.after = after
        self.has_arrived = False

    def next_part(self, before: datetime, now: datetime, size: int) -> list[Step]:
        """Return the next runs that were planned before a moment, and advance past them.

        Args:
            size: the number of runs to read at most.
        """
        # Usually no further run is old enough. Then only one row is read.
        part = self._read(before, now, 1) and self._read(before, now, size)
        self.has_arrived = len(part) < size
        if part:
            self.after = part[-1].pk
        return part

    def _read(self, before: datetime, now: datetime, size: int) -> list[Step]:
        # A run that is ahead of now was planned before the clock was set back. It must not hold up
        # the walk until the clock reaches it again.
        is_old = Q(planned_at__lt=before) | Q(planned_at__gt=now)
        is_over = Q(finished_at__lt=before) & ~Q(state__in=LIVE_STATES)
        # The database compares the moments, because one that cannot be read must not end the walk.
        rows = (
            Run.objects.using(self._using)
            .filter(pk__gt=self.after)
            .order_by("pk")
            .values_list("pk", "state", _flag(is_over), _flag(is_old))[:size]
        )
        return list(_while_old(rows))


def _flag(condition: Q) -> "ExpressionWrapper[Q]":
    return ExpressionWrapper(condition, output_field=BooleanField())


def _while_old(rows: Iterable[tuple[int, str, bool | None, bool]]) -> Iterator[Step]:
    for pk, state, is_over, is_old in rows:
        if not is_old:
            return
        yield Step(pk, RunState(state), bool(is_over))
