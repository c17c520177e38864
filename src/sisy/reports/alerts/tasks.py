"""The alerts about tasks: broken, failed, late, and missed occurrences."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext, ngettext

from sisy.alerting.missed import MIN_GAP
from sisy.alerting.problem import with_cause
from sisy.models import RunState, Task, TaskState
from sisy.reports import disclosure
from sisy.reports.alerts.alert import Alert, Kind, Severity, Thresholds
from sisy.reports.errors import RecentTrouble, failing, first_of, missed
from sisy.reports.explain import class_of_error


def broken_alerts(using: str) -> Iterator[Alert]:
    """Yield the tasks that are broken."""
    known: dict[str, Any] = {
        "kind": Kind.BROKEN,
        "severity": Severity.ERROR,
        "badge": TaskState.BROKEN,
    }
    broken = Task.objects.using(using).filter(state=TaskState.BROKEN).order_by("label", "pk")
    tasks, more = first_of(broken)
    for task in tasks:
        yield Alert(**known, what=task.label, why=task.state_reason, task=task.pk)
    yield from _more(
        more,
        lambda n: ngettext("And %d more broken task.", "And %d more broken tasks.", n),
        **known,
    )


def failed_alerts(using: str, now: datetime, *, in_full: bool) -> Iterator[Alert]:
    """Yield the tasks that failed recently. If they have recovered, these are no problems."""
    groups, more = failing(using, now)
    for group in groups:
        severity = Severity.INFO if group.has_recovered else Severity.ERROR
        cause = _cause_of(group, in_full)
        yield _of_group(group, Kind.FAILED, severity, _failures(group, cause), cause)
    yield from _more(
        more,
        lambda n: ngettext(
            "And %d more task that failed in the last 24 hours.",
            "And %d more tasks that failed in the last 24 hours.",
            n,
        ),
        kind=Kind.FAILED,
        severity=Severity.ERROR,
        badge=RunState.FAILED,
    )


def _failures(group: RecentTrouble, cause: str) -> str:
    named = {"number": group.number, "of": group.of}
    words = ngettext(
        "%(number)d of %(of)d runs in the last 24 hours failed",
        "%(number)d of %(of)d runs in the last 24 hours failed",
        group.of or group.number,
    )
    if group.of is None:
        words = ngettext(
            "%(number)d run failed in the last 24 hours",
            "%(number)d runs failed in the last 24 hours",
            group.number,
        )
    elif group.number == group.of:
        words = ngettext(
            "The only run in the last 24 hours failed",
            "All %(of)d runs in the last 24 hours failed",
            group.of,
        )
    sentence = with_cause(words % named, cause)
    return (
        f"{sentence} {gettext('The latest run succeeded.')}" if group.has_recovered else sentence
    )


def _cause_of(group: RecentTrouble, in_full: bool) -> str:
    reason = disclosure.reason_of(group.newest, in_full=in_full)
    return class_of_error(group.newest) or reason.rstrip(".")


def late_alerts(using: str, now: datetime, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield the tasks that are due but that no heartbeat has planned."""
    known: dict[str, Any] = {
        "kind": Kind.LATE,
        "severity": Severity.ERROR,
        "threshold": thresholds.late,
    }
    due = Task.objects.using(using).due(now - thresholds.late)
    tasks, more = first_of(due.to_be_planned())
    why = gettext("The task is due, but no heartbeat has planned it.")
    for task in tasks:
        yield Alert(**known, what=task.label, why=why, since=task.next_run, task=task.pk)
    yield from _more(
        more,
        lambda n: ngettext("And %d more overdue task.", "And %d more overdue tasks.", n),
        **known,
    )


def missed_alerts(using: str, now: datetime) -> Iterator[Alert]:
    """Yield the tasks with occurrences that were missed in the last 24 hours."""
    groups, more = missed(using, now)
    for group in groups:
        words = ngettext(
            "%d occurrence was missed in the last 24 hours",
            "%d occurrences were missed in the last 24 hours",
            group.number,
        )
        cause = group.newest.reason
        why = f"{words % group.number}: {cause}"
        # What a heartbeat that was late for some seconds has missed opens no alert either.
        began = group.newest.due_at or group.newest.planned_at
        is_long = group.newest.planned_at - began >= MIN_GAP
        severity = Severity.WARNING if is_long else Severity.INFO
        alert = _of_group(group, Kind.MISSED, severity, why, cause)
        yield replace(alert, missed=group.number)
    yield from _more(
        more,
        lambda n: ngettext(
            "And %d more task with missed occurrences.",
            "And %d more tasks with missed occurrences.",
            n,
        ),
        kind=Kind.MISSED,
        severity=Severity.WARNING,
        badge=RunState.MISSED,
    )


def _of_group(group: RecentTrouble, kind: Kind, severity: Severity, why: str, cause: str) -> Alert:
    newest, (task, path) = group.newest, group.key
    return Alert(
        kind=kind,
        severity=severity,
        what=group.label,
        why=why,
        cause=cause,
        since=newest.due_at if kind == Kind.MISSED else newest.finished_at,
        badge=newest.state,
        task=task,
        path=path,
        run=newest.pk,
    )


def _more(number: int, words: Callable[[int], str], **known: Any) -> Iterator[Alert]:
    """Yield an alert for all of a kind that are not named, if there are any."""
    if number:
        yield Alert(**known, why=words(number) % number, number=number)
