"""Judge tasks that have had no successful run for too long.

``silent_at`` says when to look at a task. When that moment has passed, the heartbeat looks once,
and moves it to the moment at which the latest success will be too old. So a task is looked at
about once in each ``success_every``, and all other tasks cost nothing. A task that is not active
is not looked at. When it is resumed, the time starts over.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext

from sisy.alerting.evidence import STREAK_KINDS
from sisy.alerting.opening import Closing, open_alerts
from sisy.alerting.problem import Problem, Watch, of_task
from sisy.models import Alert, Task
from sisy.models.task_queries import TaskQuerySet
from sisy.records.choices import TaskState
from sisy.records.problems import Kind
from sisy.runtime.durations import duration_text
from sisy.store.bulk import Update, update_rows
from sisy.store.judging import Ended, latest_ended

BATCH = 500  # tasks that are looked at together
JUDGED_COLUMNS = ("label", "queue", "state", "success_every", "planning_since", "created_at")
OVERLAPPING = 10  # successful runs among which is the one that ended last
MAX_GRACE = timedelta(minutes=5)  # that a task has to succeed after an outage


def judge_silence(watch: Watch) -> bool:
    """Look at the tasks whose moment has passed. Return whether more are left."""
    using, now = watch.using, watch.now
    expecting = Task.objects.using(using).active().filter(success_every__isnull=False)
    tasks = _batch(expecting.filter(silent_at=None)) + _batch(expecting.filter(silent_at__lte=now))
    if not tasks:
        return False
    pks = [task.pk for task in tasks]
    latest = _latest_success(using, pks)
    failing = Alert.objects.using(using).open().filter(kind__in=STREAK_KINDS)
    # Such an alert says already that no run succeeds.
    known = set(failing.filter(task_id__in=pks).values_list("task_id", flat=True))
    problems: list[Problem] = []
    moments: dict[int, datetime] = {}
    for task in tasks:
        success, most = latest.get(task.pk), task.success_every or MAX_GRACE
        expected = _basis(task, success) + most
        grace = min(most, MAX_GRACE)
        if expected > now:
            moments[task.pk] = max(expected, now + timedelta(seconds=30))
        elif watch.waited(expected - grace) >= grace:
            moments[task.pk] = now + most
            if task.pk not in known:
                problems.append(_silent(task, success, expected, most))
        # Any other keeps its moment: a heartbeat that has watched for longer may judge it now.
    update_rows(using, Task, list(moments), Update(assign={"silent_at": list(moments.values())}))
    open_alerts(using, problems, now)
    return len(moments) >= BATCH


def _batch(tasks: TaskQuerySet) -> list[Task]:
    return list(tasks.order_by("silent_at").only(*JUDGED_COLUMNS)[:BATCH])


def _latest_success(using: str, tasks: Collection[int]) -> dict[int, Ended]:
    found = latest_ended(using, dict.fromkeys(tasks, OVERLAPPING), only_success=True)
    # If runs overlap, the one that was submitted last need not end last.
    return {task: max(runs, key=_moment_and_key) for task, runs in found.items()}


def _moment_and_key(run: Ended) -> tuple[float, int]:
    return (run.finished_at.timestamp() if run.finished_at else 0, run.pk)


def _basis(task: Task, success: Ended | None) -> datetime:
    """Return the moment from which on the next success is expected."""
    moments = (success and success.finished_at, task.planning_since, task.created_at)
    return max(moment for moment in moments if moment)


def _silent(task: Task, success: Ended | None, expected: datetime, most: timedelta) -> Problem:
    words = gettext("No run has succeeded for more than %s.")
    return Problem(
        kind=Kind.SILENT,
        subject=of_task(task.pk),
        label=task.label,
        queue=task.queue,
        task=task.pk,
        since=expected,
        why=words % duration_text(most),
        fix=gettext("See its history: 'manage.py sisy_tasks history %d'.") % task.pk,
        evidence=success.pk if success else 0,
    )


def _is_new(success: Ended, alert: Alert) -> bool:
    """Return whether a run succeeded after those that were known when an alert opened."""
    has_ended_since = success.finished_at is not None and success.finished_at > alert.opened_at
    return has_ended_since or success.pk > alert.evidence


def over(using: str, alerts: Collection[Alert]) -> Iterator[Closing]:
    """Yield the alerts about tasks that have succeeded, or need not succeed any more."""
    pks = [alert.task_id for alert in alerts if alert.task_id is not None]
    tasks = Task.objects.using(using).only("state", "success_every").in_bulk(pks)
    latest = _latest_success(using, list(tasks))
    for alert in alerts:
        task = tasks.get(alert.task_id or 0)
        success = latest.get(alert.task_id or 0)
        if task is None:
            yield alert, gettext("The task was deleted.")
        elif success is not None and _is_new(success, alert):
            yield alert, gettext("A run succeeded.")
        elif task.state != TaskState.ACTIVE or task.success_every is None:
            yield alert, gettext("The task is no longer active, or its success_every was removed.")
