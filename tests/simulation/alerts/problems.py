"""What the alerts must be: the injected problems, as the world knows them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sisy.records.problems import Kind

BOUND = timedelta(seconds=60)  # from a problem, or its end, to the message about it
WATCHED = {
    Kind.SILENT: timedelta(minutes=5),
    Kind.QUEUED: timedelta(minutes=5),
    Kind.LATE: timedelta(minutes=2),
    Kind.STALLED: timedelta(minutes=2),
    Kind.NO_WORKER: timedelta(minutes=1),
}
"""For how long a heartbeat must have watched before it judges; others were just restarted."""
STORM = timedelta(minutes=2)  # longer, if more than ten alerts become one message


@dataclass(slots=True, kw_only=True, eq=False)
class Injected:
    """A problem that was caused on purpose.

    Attributes:
        cause: what was done; two causes may have the same kind.
        subject: as an alert names it.
        began: when it was a fact that Sisy can know.
        ended: when it was over; None while it lasts.
        recurs: whether it may recur within ten minutes, so that its alert opens again.
    """

    cause: str
    kind: Kind
    subject: str
    began: datetime
    ended: datetime | None = None
    recurs: bool = False

    def __str__(self) -> str:
        end = "" if self.ended is None else f" until {self.ended:%H:%M:%S}"
        return f"{self.cause} ({self.kind}, {self.subject}) since {self.began:%d. %H:%M:%S}{end}"


@dataclass(slots=True)
class Injections:
    """All problems so far."""

    all: list[Injected] = field(default_factory=list)

    def begin(
        self, cause: str, kind: Kind, subject: str, began: datetime, *, recurs: bool = False
    ) -> Injected:
        """Record that a problem began."""
        problem = Injected(cause=cause, kind=kind, subject=subject, began=began, recurs=recurs)
        self.all.append(problem)
        return problem

    @property
    def open(self) -> list[Injected]:
        """The problems that last."""
        return [problem for problem in self.all if problem.ended is None]
