"""Everything that a person on call looks at first, read at one moment."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from sisy.alerting.capacity import Fleet
from sisy.models import Role, Run
from sisy.records.choices import FAILED_STATES
from sisy.reports.alerts import find_alerts
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.verdict import in_words
from sisy.reports.fleet import Member, members
from sisy.reports.output import ShownProgress, progress_of
from sisy.reports.queues import QueueStats, queues
from sisy.reports.run_search import RunSearch, find

MAX_FAILURES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """A site at one moment.

    Attributes:
        now: the moment, by the clock of the database.
        groups: the open alerts by cause, the most severe first.
        members: the workers, with the runs that they execute.
        running: the running runs, also those of other engines, the longest first.
        progress: how far running runs are, by their keys.
        failures: the runs that failed last, newest first.
    """

    now: datetime
    groups: list[AlertGroup]
    queues: list[QueueStats]
    fleet: Fleet
    members: list[Member]
    running: list[Run]
    progress: dict[int, ShownProgress]
    failures: list[Run]

    @property
    def is_clear(self) -> bool:
        """Return whether there is no problem."""
        return not in_words(self.groups, self.now)

    @property
    def state(self) -> str:
        """The state of the site in a few words, such as "3 problems, 2 left (1 acknowledged)"."""
        return in_words(self.groups, self.now) or gettext("All clear")

    @property
    def used(self) -> int:
        """The number of slots in use."""
        return sum(len(member.runs) for member in self.members)

    @property
    def slots(self) -> int:
        """The number of slots of all workers that are up."""
        return sum(worker.slots for worker in self.fleet.workers)


def glance(using: str, now: datetime) -> Glance:
    """Return the alerts, queues, workers, running runs and newest failures of a site."""
    found = members(using, now)
    workers = [one for one in found if one.process.role == Role.WORKER]
    running = [run for one in found for run in one.runs]
    failed = RunSearch(states=tuple(map(str, FAILED_STATES)))
    return Glance(
        now=now,
        groups=grouped(find_alerts(using, now, in_full=True)),
        queues=queues(using, now),
        fleet=Fleet.at(using, now),
        members=workers,
        running=sorted(running, key=lambda run: run.started_at or now),
        progress=progress_of(using, running),
        failures=find(using, failed, most=MAX_FAILURES).runs,
    )
