"""The content of a message about alerts: the payload of the outbox as a value."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

MOMENTS = ("since", "ended_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The words about one alert, for each channel the same.

    Attributes:
        kind: the kind of the problem, as people filter by it.
        problem: the kind in words, such as "failing".
        what: the label of the task, or the queue or the host; empty if it is about the site.
        since: when the problem began.
        ended_at: when it was over; None while it lasts.
        why: one or more sentences.
        cause: what all alerts with the same cause say; empty if that is all of ``why``.
        fix: what to do about it; empty if ``why`` says so.
        note: the note of the task, as Markdown; empty if it has none, or the problem is over.
        task: the key of the task.
        run: the key of the run that shows the problem.
        thread: the key of the message that reported the alert. Its recovery is shown
            below that message, and is never sent before it.
        count: the number of alerts it is about; more than 1 if a message does not list them all.
    """

    kind: str
    problem: str
    since: datetime
    why: str
    what: str = ""
    severity: str = ""
    ended_at: datetime | None = None
    cause: str = ""
    fix: str = ""
    note: str = ""
    queue: str = ""
    task: int | None = None
    run: int | None = None
    thread: str = ""
    count: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the notice as JSON."""
        found = asdict(self)
        return found | {name: found[name] and found[name].isoformat() for name in MOMENTS}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the notice of its JSON."""
        moments = {
            name: stored[name] and datetime.fromisoformat(stored[name])
            for name in MOMENTS
            if name in stored
        }
        known = {name: stored[name] for name in cls.__slots__ if name in stored}
        return cls(**known | moments)


def payload_of(notices: Iterable[Notice]) -> dict[str, Any]:
    """Return the payload of a message about these alerts."""
    return {"notices": [notice.as_json() for notice in notices]}


def notices_in(payload: Mapping[str, Any]) -> list[Notice]:
    """Return the notices of a message's payload."""
    return [Notice.of(stored) for stored in payload.get("notices", ())]


def threads_of(payload: Mapping[str, Any]) -> list[str]:
    """Return the keys of the messages to which this payload belongs, each once."""
    # Each notice as it is stored, because a payload that cannot be read must not stop a sender.
    threads = {stored.get("thread") for stored in payload.get("notices", ())}
    return sorted(filter(None, threads | {payload.get("thread")}))
