"""The errors of a task: those of one kind together, and which of them are new.

Errors are of one kind if they have the same class, and their messages differ only in numbers.

An error is new since an event, such as a deploy (see `task_events`), if the task failed with it
only after that. It is not new if the ledger does not reach back to before the event.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime

from sisy.models import Run, Task
from sisy.records.choices import FAILED_STATES
from sisy.reports.by_state import keys_of, troubled
from sisy.reports.task_events import events_of

MAX_RUNS_READ = 500  # failed runs, the newest ones
MAX_LENGTH = 300  # characters of a message

# Longer first: a UUID has numbers in it.
VARIABLE = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-f]+\b|\d+", re.I)
FRAME = re.compile(r'^\s*File ".*", line \d+, in (\S+)', re.MULTILINE)


@dataclass(slots=True, kw_only=True)
class ErrorGroup:
    """One kind of error, with the runs that ended with it.

    Attributes:
        words: the message of the newest one.
        differ: whether the messages differ in numbers.
        function: the function that raised the newest one; empty if that is unknown.
        new_since: the latest event before all of them, in words; empty if it is not new.
    """

    words: str
    newest: Run
    function: str
    count: int = 1
    first: datetime | None = None
    differ: bool = False
    new_since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskErrors:
    """The errors of the newest failed runs of a task.

    Attributes:
        groups: the new ones first, then the most frequent.
        read: the number of these runs.
        is_complete: whether the ledger has no older ones.
    """

    groups: list[ErrorGroup] = field(default_factory=list)
    read: int = 0
    is_complete: bool = True


def errors_of(using: str, task: Task, now: datetime) -> TaskErrors:
    """Return the errors of the newest runs that failed, and which of them are new."""
    keys = keys_of(troubled(using, FAILED_STATES, [task.pk]), MAX_RUNS_READ)
    runs = Run.objects.using(using).filter(pk__in=keys, state__in=FAILED_STATES).order_by("-pk")
    found: dict[tuple[str, str], ErrorGroup] = {}
    oldest: Run | None = None
    for oldest in runs.only("task", "state", "reason", "error", "error_class", "finished_at"):
        words = _message(oldest)
        kind = oldest.error_class, VARIABLE.sub("0", words)
        if kind not in found:
            found[kind] = ErrorGroup(words=words, newest=oldest, function=_function(oldest))
        else:
            found[kind].count += 1
            found[kind].differ |= words != found[kind].words
        found[kind].first = oldest.finished_at
    is_complete = len(keys) < MAX_RUNS_READ
    groups = list(found.values())
    if oldest is not None:
        _mark_new(using, task, groups, None if is_complete else oldest.finished_at, now)
    groups.sort(key=lambda group: (not group.new_since, -group.count))
    return TaskErrors(groups=groups, read=len(keys), is_complete=is_complete)


def _mark_new(
    using: str, task: Task, groups: list[ErrorGroup], read_since: datetime | None, now: datetime
) -> None:
    planned = Run.objects.using(using).filter(task=task).order_by("pk")
    first_run = planned.values_list("planned_at", flat=True).first()
    known_since = max(filter(None, (first_run, read_since)), default=now)
    events = events_of(using, [task], now)[task.pk]
    events = [event for event in events if event.at > known_since]
    for group in groups:
        for event in sorted(events, key=lambda event: event.at, reverse=True):
            if group.first is not None and group.first >= event.at:
                group.new_since = event.words
                break


def _message(run: Run) -> str:
    lines = run.error.strip().splitlines()
    return (lines[-1] if lines else run.reason)[:MAX_LENGTH] or str(run.get_state_display())


def _function(run: Run) -> str:
    frames = FRAME.findall(run.error)
    named = [name for name in frames if not name.startswith("<")]  # not <genexpr> or <module>
    return str(named[-1])[:MAX_LENGTH] if named else ""
