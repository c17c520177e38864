"""Claim runs shortly before they are ready, so that their functions are called on the dot.

A claim takes some milliseconds. A worker with a free slot therefore claims a run up to 100 ms
before its moment, and `StartTimers` calls the function when it comes:

    queued --claim, commit--> running, not called --its moment--> running
                                    |
                                    +--> queued     the worker stops, or a user cancels the run
                                    +--> queued     the worker dies: rescued like any running run

From the commit on, the run is running under the worker's lease. So this claim starts only runs
about which nothing is left to decide at their moment: those of tasks that allow overlap, and those
of tasks that have no other queued or running run. All others wait for an ordinary claim.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

from django.db import transaction

from sisy import clock
from sisy.lifecycle.start import start
from sisy.lifecycle.transition import LONGEST_LEAD
from sisy.models import Process, Run
from sisy.models.process import LONGEST_LEASE
from sisy.runtime.checkpoint import checkpoint
from sisy.store import claims
from sisy.store.claims import ClaimScope
from sisy.worker.claim import fetch_tasks, lock_first, turn
from sisy.worker.low_water import LowWaterMarks

SHORTEST_LEAD = timedelta(milliseconds=10)
CLAIMS_REMEMBERED = 100
FEWEST_CLAIMS = 10
# How often to look past runs that have to wait for their moment.
MAX_BATCHES = 5
MAX_WAIT = 1.0  # seconds, much longer than a run is claimed before its moment


class Lead:
    """The time by which a claim precedes its runs' moment: twice that of a slow claim."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=CLAIMS_REMEMBERED)

    def note(self, seconds: float) -> None:
        """Add the duration of a claim."""
        self._took.append(seconds)

    @property
    def length(self) -> timedelta:
        """The lead by the latest claims, 10 to 100 ms; 100 ms until ten were made."""
        if len(self._took) < FEWEST_CLAIMS:
            return LONGEST_LEAD
        slow = sorted(self._took)[int(0.99 * (len(self._took) - 1))]
        return min(max(SHORTEST_LEAD, timedelta(seconds=2 * slow)), LONGEST_LEAD)


def claim_early(
    process: Process,
    queues: Sequence[str],
    limit: int,
    now: datetime,
    until: datetime,
    missing: frozenset[str],
    marks: LowWaterMarks,
) -> list[Run]:
    """Claim up to ``limit`` runs that become ready after ``now``, and return them.

    Args:
        until: the moment up to which they become ready.
        missing: the dotted paths of functions that the process cannot find.
        marks: the priorities that the queues have.

    Raises:
        LeaseLost: the process's lease has expired.
    """
    open_queues = claims.claimable_queues(process.using, queues)
    scope = ClaimScope(process.using, open_queues, "", now, missing)
    won: list[Run] = []
    blocked: set[int] = set()
    for _ in range(MAX_BATCHES):
        room = limit - len(won)
        with transaction.atomic(using=process.using):
            locked = _lock(scope, marks, until, room, blocked)
            starting = _independent(scope, locked)
            start(process.using, starting, process, now, latest=now + LONGEST_LEASE)
        if starting:
            checkpoint("start ahead: committed")
        won += starting
        blocked |= {run.task_id for run in locked if run.task_id is not None} - {
            run.task_id for run in starting if run.task is not None and run.task.allow_overlap
        }
        if len(locked) < room or len(starting) == room:
            break
    return won


def _lock(
    scope: ClaimScope,
    marks: LowWaterMarks,
    until: datetime,
    limit: int,
    blocked: Collection[int],
) -> list[Run]:
    """Lock the first ``limit`` runs whose turn it will be."""
    lock = partial(claims.lock_first_early, scope, Run, until=until, blocked=blocked)
    first = lock_first(scope, marks, limit, lock)
    return sorted(chain(*first.values()), key=turn)[:limit]


def _independent(scope: ClaimScope, locked: Sequence[Run]) -> list[Run]:
    """Return those runs that need no decision when they become ready."""
    if not locked:
        return []
    exclusive = fetch_tasks(scope.using, locked)
    taken = claims.live_tasks(scope.using, exclusive, scope.now)
    independent = []
    for run in locked:
        if run.task is None:
            continue
        if not run.task.allow_overlap:
            if run.task_id not in exclusive or run.task_id in taken:
                continue
            taken.add(run.task_id)
        independent.append(run)
    return independent


class StartTimers:
    """Keeps runs until their moment by the database's clock. Use it in one event loop.

    Args:
        using: the alias of the database.
        call: called with each run at its moment, never before.
        give_back: called with a run whose moment is far away, because the clock was set back.
    """

    # A timer only wakes. The reading of the database's clock decides whether the run is ready,
    # by the earliest time that it can be: the reading took a while, and clocks drift.

    def __init__(
        self, using: str, call: Callable[[Run], None], give_back: Callable[[Run], None]
    ) -> None:
        self._using = using
        self._call = call
        self._give_back = give_back
        self._timers: dict[tuple[int, int], tuple[Run, asyncio.TimerHandle]] = {}

    def call_at_its_moment(self, run: Run) -> None:
        """Call a run when it is ready, which may be now."""
        left = (run.ready_at - clock.earliest(self._using)).total_seconds()
        if 0 < left <= MAX_WAIT:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(left, self.call_at_its_moment, run)
            self._timers[run.id, run.attempt] = run, timer
            checkpoint("start ahead: not called yet")
            return
        self._timers.pop((run.id, run.attempt), None)
        if left <= 0:
            self._call(run)
        else:
            self._give_back(run)

    def withdraw(self, runs: Iterable[Run]) -> list[Run]:
        """Stop the timers of those runs that were not called yet, and return these."""
        return [run for run in runs if self._stop((run.id, run.attempt))]

    def _stop(self, key: tuple[int, int]) -> bool:
        found = self._timers.pop(key, None)
        if found is None:
            return False
        found[1].cancel()
        return True
