"""A problem that a heartbeat has found, and what it knows when it looks for problems."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.records.problems import Kind

NUMBER = re.compile(r"\d+")


def of_task(pk: int) -> str:
    """Return the subject of problems of a task."""
    return f"task:{pk}"


def of_call(path: str) -> str:
    """Return the subject of problems of runs that call a function without a scheduled task."""
    return f"call:{path[:270]}"


def of_queue(name: str) -> str:
    """Return the subject of problems of a queue."""
    return f"queue:{name}"


def of_host(name: str) -> str:
    """Return the subject of problems of the heartbeats of a host."""
    return f"host:{name}"


def open_key(kind: str, subject: str) -> str:
    """Return the key that only one open alert can have."""
    return f"{kind}:{subject}"


def with_cause(words: str, cause: str) -> str:
    """Return a sentence that ends with the cause, if it is known."""
    return f"{words}: {cause}." if cause else f"{words}."


def as_sentence(cause: str) -> str:
    """Return a cause with a full stop at its end."""
    return f"{cause.rstrip('.')}."


def without_numbers(text: str) -> str:
    """Return a text without its numbers, which differ between alerts with the same cause."""
    return NUMBER.sub("#", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem that lasts, as a reason for an alert.

    Attributes:
        subject: what it is about. There is at most one open alert for each kind and subject.
        since: when it began.
        cause: what the texts of all problems with the same cause have in common; empty if that is
            all of ``why``.
        evidence: the key of the run, or another number, that shows it. An alert that a person has
            closed is opened again only for other evidence.
    """

    kind: Kind
    subject: str
    since: datetime
    why: str
    cause: str = ""
    fix: str = ""
    label: str = ""
    queue: str = ""
    task: int | None = None
    run: int | None = None
    evidence: int = 0

    @property
    def key(self) -> str:
        """See `open_key`."""
        return open_key(self.kind, self.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The moment at which a heartbeat judges, and how long it has watched.

    Attributes:
        since: since when it has watched without a break; None if it may not judge what is late.
            While no heartbeat was working, nothing was planned, so nothing could be on time.
    """

    using: str
    now: datetime
    since: datetime | None

    def waited(self, moment: datetime, other: datetime | None = None) -> timedelta:
        """Return how long something has been waiting since ``moment``, while it was watched.

        Args:
            other: a later moment from which on to count, if any.
        """
        if self.since is None:
            return timedelta(0)
        return self.now - max(moment, self.since, other or moment)
