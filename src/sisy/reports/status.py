"""The pulse of a site: its processes, their leases, and its clock."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sisy import clock, conf
from sisy.models import Process, Role

MAX_PROCESSES_READ = 1000  # processes that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The processes of a site, and its clock."""

    heartbeats: list[Process]
    workers: list[Process]
    silent: list[Process]
    """Their leases have run out, and nobody has cleared them away yet."""
    slots: int
    heard_at: datetime | None
    """When a heartbeat was last heard of."""
    offset: timedelta
    """How far the clock of this host is ahead of the database's."""

    @property
    def clock_is_off(self) -> bool:
        """Return whether the two clocks differ by more than a second."""
        return self.distance > timedelta(seconds=1)

    @property
    def distance(self) -> timedelta:
        """By how much the two clocks differ, whichever is ahead."""
        return abs(self.offset)

    @property
    def clock_is_behind(self) -> bool:
        """Return whether the clock of this host is behind the database's."""
        return self.offset < timedelta(0)


def status(using: str, now: datetime) -> Status:
    """Return who is up at ``now``."""
    alive = list(Process.objects.using(using).alive(now)[:MAX_PROCESSES_READ])
    heartbeats = [process for process in alive if process.role == Role.HEARTBEAT]
    workers = [process for process in alive if process.role == Role.WORKER]
    lease = conf.get_settings().lease
    return Status(
        heartbeats=heartbeats,
        workers=workers,
        silent=list(Process.objects.using(using).expired(now)[:MAX_PROCESSES_READ]),
        slots=sum(process.slots for process in workers),
        heard_at=max((one.lease_until - lease for one in heartbeats), default=None),
        offset=datetime.fromtimestamp(time.time(), UTC) - clock.now(using),
    )
