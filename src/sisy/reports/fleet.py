"""The running processes and their runs, and the throughput."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.models import Process, Role, Run, RunState

MAX_ROWS_SHOWN = 500  # processes, and runs that go on, that are shown
MAX_ENDED_COUNTED = 10_000  # runs that ended lately
MAX_RUNS_NAMED = 20  # runs of one worker

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process, with the runs that it carries out."""

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

    @property
    def is_all(self) -> bool:
        return self.number < MAX_ENDED_COUNTED


def members(using: str, now: datetime) -> list[Member]:
    """Return the processes, workers first, each with its runs."""
    processes = list(Process.objects.using(using)[:MAX_ROWS_SHOWN])
    held: dict[int | None, list[Run]] = {}
    going = Run.objects.using(using).filter(state=RunState.RUNNING)
    for run in going.defer("payload", "result", "error").order_by("started_at")[:MAX_ROWS_SHOWN]:
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
    """Return how many runs ended in the last minute, and in the last hour."""
    runs = Run.objects.using(using).exclude(started_at=None).order_by()
    return [
        Rate(
            span=span, number=runs.filter(finished_at__gte=now - span)[:MAX_ENDED_COUNTED].count()
        )
        for span in (MINUTE, HOUR)
    ]
