"""Facts beside an alert: the task's note, the last change before it failed, and what is held up.

The note may say that a failure can wait until the morning. The last deploy or change before the
first failure is a likely cause.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext

from sisy.models import Run, Task, TaskState
from sisy.records.problems import Kind
from sisy.reports import skipping
from sisy.reports.alerts.alert import Alert
from sisy.reports.alerts.backlogs import backlog_in_words
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.alerts.hanging import hanging_in_words
from sisy.reports.missed import outage_around
from sisy.reports.task_events import events_of
from sisy.runtime.durations import in_zone

MAX_EXPLAINED = 3  # failing tasks, or queues: each takes some statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The known facts beside a group of alerts.

    Attributes:
        note: the whole note of the task; empty if it has none, or if several tasks are affected.
        began_after: the change between its last run before the failures and the first of these,
            in words; empty if there was none, or if the task does not fail.
        backlog: what a queue without a worker holds up; see `backlog_in_words`.
        warning: which of these runs a new worker would skip; see `sisy.reports.skipping`.
        hanging: how long a run that takes too long has been running; see `hanging_in_words`.
        paused: that the task is paused, until when and why; empty if it is not.
    """

    note: str = ""
    began_after: str = ""
    backlog: str = ""
    warning: str = ""
    hanging: str = ""
    paused: str = ""


def facts_beside(
    using: str, groups: Iterable[AlertGroup], now: datetime, *, in_full: bool
) -> dict[str, Facts]:
    """Return the facts beside groups of alerts, by the keys of the groups.

    Args:
        in_full: whether the reader may see what runs print; see `sisy.reports.disclosure`.
    """
    listed = list(groups)
    alone = {group.key: group.lead.task for group in listed if len(group.same) == 1}
    keys = {pk for pk in alone.values() if pk is not None}
    tasks = Task.objects.using(using).defer("_extra_data").in_bulk(keys) if keys else {}
    task_of = {key: tasks[pk] for key, pk in alone.items() if pk in tasks}
    failing = [group for group in listed if group.key in task_of and _begins(group.lead)]
    began = _began_after(using, task_of, failing[:MAX_EXPLAINED], now)
    unserved = [group for group in listed if group.lead.kind == Kind.NO_WORKER]
    explained = unserved[:MAX_EXPLAINED]
    backlogs = {
        group.key: _of_queues(group, lambda queue: backlog_in_words(using, queue, now))
        for group in explained
    }
    warnings = {
        group.key: _of_queues(group, lambda queue: skipping.warning(using, queue, now))
        for group in explained
    }
    going = [group for group in listed if group.is_cancellable and group.key in task_of]
    hanging = {
        group.key: hanging_in_words(using, pk, task_of[group.key], now, in_full=in_full)
        for group in going[:MAX_EXPLAINED]
        if (pk := group.lead.run) is not None
    }
    return {
        group.key: Facts(
            note=task_of[group.key].note if group.key in task_of else "",
            began_after=began.get(group.key, ""),
            backlog=backlogs.get(group.key, ""),
            warning=warnings.get(group.key, ""),
            hanging=hanging.get(group.key, ""),
            paused=_paused(task_of[group.key]) if group.key in task_of else "",
        )
        for group in listed
    }


def _of_queues(group: AlertGroup, words: Callable[[str], str]) -> str:
    """Return words about the first queues without a worker; those of several have their names."""
    queues = [queue for alert in group.same for queue in alert.queues][:MAX_EXPLAINED]
    found = {queue: about for queue in queues if (about := words(queue))}
    if len(queues) == 1:
        return "".join(found.values())
    return " ".join(f"{queue}: {about}" for queue, about in found.items())


def _paused(task: Task) -> str:
    if task.state != TaskState.PAUSED:
        return ""
    words = gettext("The task is paused")
    if task.paused_until is not None:
        until = in_zone(task.paused_until, timezone.get_current_timezone())
        words = gettext("The task is paused until %s") % until
    return f"{words} ({task.state_reason.rstrip('.')})." if task.state_reason else f"{words}."


def outage_of(using: str, group: AlertGroup) -> tuple[datetime, datetime] | None:
    """Return when the first and the last occurrence of an outage were due; None if it was none.

    It is an outage if several tasks missed occurrences.
    """
    is_missed = group.lead.kind == Kind.MISSED and len(group.alerts) > 1
    if not is_missed or group.since is None or group.until is None:
        return None
    # The alerts are about tasks that have not succeeded since. Others missed more, at other times.
    return outage_around(using, group.since, group.until)


def _begins(alert: Alert) -> bool:
    """Return whether all runs of its task have failed since a moment that is known."""
    is_failing = alert.kind == Kind.FAILING and not alert.is_flapping
    return is_failing and alert.record is not None and alert.since is not None


def _began_after(
    using: str, task_of: Mapping[str, Task], failing: Sequence[AlertGroup], now: datetime
) -> dict[str, str]:
    """Return the newest event between the last run before the failures and the first of these."""
    tasks = [task_of[group.key] for group in failing]
    events = events_of(using, tasks, now) if tasks else {}
    found = {}
    for task, group in zip(tasks, failing, strict=True):
        before, first = _last_run_before(using, group.lead), group.lead.since
        if before is not None and first is not None:
            between = [event for event in events[task.pk] if before <= event.at <= first]
            if between:
                found[group.key] = max(between, key=lambda event: event.at).words
    return found


def _last_run_before(using: str, alert: Alert) -> datetime | None:
    """Return when the last run before the failures finished; None if there was none."""
    opened_by = alert.record.run_id if alert.record else None
    if opened_by is None:
        return None
    # Few runs failed before the alert was opened: see `alert_after`.
    runs = Run.objects.using(using).filter(task=alert.task, pk__lte=opened_by)
    before = runs.filter(finished_at__lt=alert.since).order_by("-pk")
    return before.values_list("finished_at", flat=True).first()
