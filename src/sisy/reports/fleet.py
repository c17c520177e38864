"""The heartbeats and workers: their clocks, what they execute, and how many runs end."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, Q

from sisy import clock, conf
from sisy.alerting.capacity import running
from sisy.models import Process, Role, Run
from sisy.reports.by_state import NewestRuns, running_runs

MAX_ROWS_SHOWN = 500  # processes, and their runs
MAX_RUNS_NAMED = 20  # runs of one worker
CLOCK_TOLERANCE = timedelta(seconds=1)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def last_seen(processes: Sequence[Process]) -> datetime | None:
    """Return the latest renewal of a lease of some processes; None if there are none."""
    lease = conf.get_settings().lease
    return max((process.lease_until - lease for process in processes), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The processes of a site, and its clock."""

    heartbeats: list[Process]
    workers: list[Process]
    silent: list[Process]
    """Processes with an expired lease that no heartbeat has removed yet."""
    slots: int
    last_seen_at: datetime | None
    """When a heartbeat last renewed its lease."""
    offset: timedelta
    """The time by which this host's clock is ahead of the database's."""

    @property
    def clock_is_off(self) -> bool:
        """Return whether the two clocks differ by more than a second."""
        return self.distance > CLOCK_TOLERANCE

    @property
    def distance(self) -> timedelta:
        """The difference between the two clocks, whichever is ahead."""
        return abs(self.offset)

    @property
    def clock_is_behind(self) -> bool:
        """Return whether the clock of this host is behind the database's."""
        return self.offset < timedelta(0)


def status(using: str, now: datetime) -> Status:
    """Return the processes that are running at ``now``, and compare the clocks."""
    heartbeats, workers = running(using, now)
    return Status(
        heartbeats=heartbeats,
        workers=workers,
        silent=list(Process.objects.using(using).expired(now)[:MAX_ROWS_SHOWN]),
        slots=sum(process.slots for process in workers),
        last_seen_at=last_seen(heartbeats),
        offset=datetime.fromtimestamp(time.time(), UTC) - clock.now(using),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process, with the runs that it executes."""

    process: Process
    runs: list[Run]
    is_silent: bool

    @property
    def used(self) -> float:
        """The percentage of its slots in use."""
        slots = self.process.slots or 1
        return min(100.0, 100 * len(self.runs) / slots)

    @property
    def named(self) -> list[Run]:
        return self.runs[:MAX_RUNS_NAMED]

    @property
    def more(self) -> int:
        return len(self.runs[MAX_RUNS_NAMED:])

    @property
    def can_drain(self) -> bool:
        is_worker = self.process.role == Role.WORKER
        return is_worker and not self.is_silent and self.process.drain_requested_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The number of runs that ended in a period; a minimum if not all were counted."""

    span: timedelta
    number: int
    is_all: bool

    def __str__(self) -> str:
        return f"{self.number:,}" if self.is_all else f"{self.number:,}+"


def members(using: str, now: datetime) -> list[Member]:
    """Return the processes, workers first, each with its runs."""
    processes = list(Process.objects.using(using)[:MAX_ROWS_SHOWN])
    held: dict[int | None, list[Run]] = {}
    going = running_runs(using).defer("payload", "result", "error")
    for run in going.order_by("started_at")[:MAX_ROWS_SHOWN]:
        held.setdefault(run.process_id, []).append(run)
    alive = set(
        Process.objects.using(using).alive(now).values_list("pk", flat=True)[:MAX_ROWS_SHOWN]
    )
    found = [
        Member(process=each, runs=held.get(each.pk, []), is_silent=each.pk not in alive)
        for each in processes
    ]
    return sorted(found, key=lambda one: (one.process.role != Role.WORKER, str(one.process)))


def throughput(using: str, now: datetime) -> list[Rate]:
    """Return how many runs ended in the last minute, and in the last hour.

    Only the newest runs are read: see `NewestRuns`.
    """
    newest = NewestRuns.of(using)
    ended = newest.runs.filter(started_at__isnull=False, finished_at__gte=now - HOUR)
    counts = ended.aggregate(
        minute=Count("pk", filter=Q(finished_at__gte=now - MINUTE)), hour=Count("pk")
    )
    return [
        Rate(span=span, number=counts[name], is_all=newest.reach(now - span))
        for name, span in (("minute", MINUTE), ("hour", HOUR))
    ]
