"""What the checker says."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from tests.chaos.moments import clock_time


class Flaw(StrEnum):
    """What must not be; each value is what the verdict calls it."""

    MISSING = "missing: due, but neither executed nor explained"
    EXTRA = "extra: executed, though nothing asked for it"
    REPEATED = "repeated: executed more often than its policies allow"
    EARLY = "early: called before its moment, by the database's clock"
    LATE = "late: started late, though nothing was broken"
    CONCURRENT = "concurrent: two at a time where that is forbidden"
    DOUBLED = "doubled: two rows for one occurrence"
    UNENDED = "unended: a row still live after all had come to rest"
    UNEXPLAINED = "unexplained: a row whose state or reason does not fit"
    ITERATIONS = "iterations: a task that ended with too few runs, or ran too often"
    OUTDATED = "outdated: planned by what an edit had replaced, or withdrawn and not gone"
    DISAGREEING = "disagreeing: the ledger and the small tables beside it differ"
    RESCUE = "rescue: runs of a killed worker were left too long"
    CRASH = "crash: a process ended, or did not, and nobody had asked for that"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One flaw, with what the log and the ledger say of it."""

    flaw: Flaw
    key: str = ""
    due: float | None = None
    says: str

    def __str__(self) -> str:
        due = f", due {clock_time(self.due)}" if self.due is not None else ""
        where = f"{self.key}{due}: " if self.key else ""
        return f"{where}{self.says}"


@dataclass(slots=True, kw_only=True)
class Verdict:
    """The findings, and figures that are no flaws.

    Attributes:
        expected: how many occurrences had to be executed or explained.
        zombies: overlaps with what a worker went on with that had been taken for dead.
        lateness: seconds, of the starts that nothing delayed.
        uncertainty: seconds, of each call: how far apart its earliest and latest moments are.
    """

    findings: list[Finding] = field(default_factory=list)
    expected: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    zombies: list[str] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    uncertainty: list[float] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return not self.findings

    def count(self, flaw: Flaw) -> int:
        return sum(finding.flaw is flaw for finding in self.findings)
