"""Judge tasks that are broken: those whose schedule is not valid, or whose object was deleted."""

from collections.abc import Collection, Iterator

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext

from sisy.alerting.opening import Closing
from sisy.alerting.problem import Problem, Watch, of_task
from sisy.models import Alert, Task, TaskState
from sisy.records.problems import Kind

BATCH = 500


def judge_broken(watch: Watch) -> Iterator[Problem]:
    """Yield broken tasks. If there are many, those that have an alert are left out."""
    # In the order of the index by state. In that of the keys, the database might read all tasks.
    broken = Task.objects.using(watch.using).filter(state=TaskState.BROKEN).order_by("next_run")
    tasks = list(broken.defer("_extra_data")[:BATCH])
    if len(tasks) == BATCH:
        known = Alert.objects.open().filter(task_id=OuterRef("pk"), kind=Kind.BROKEN)
        tasks = list(broken.filter(~Exists(known)).defer("_extra_data")[:BATCH])
    for task in tasks:
        began = task.planning_since or task.created_at or watch.now
        yield Problem(
            kind=Kind.BROKEN,
            subject=of_task(task.pk),
            label=task.label,
            queue=task.queue,
            task=task.pk,
            since=watch.now,
            why=task.state_reason or gettext("The task cannot be planned."),
            fix=gettext(
                "Fix its schedule or function, and then run 'manage.py sisy_tasks resume %d'."
            )
            % task.pk,
            # It changes when the task is planned again. If it breaks again, that is new evidence.
            evidence=int(began.timestamp()),
        )


def is_broken(using: str, alerts: Collection[Alert]) -> set[int]:
    """Return the keys of the tasks of alerts that are broken, or whose function is missing."""
    pks = [alert.task_id for alert in alerts if alert.task_id is not None]
    tasks = Task.objects.using(using).filter(pk__in=pks)
    states = tasks.values_list("pk", "state", "target_error")
    return {pk for pk, state, error in states if state == TaskState.BROKEN or error}


def over(using: str, alerts: Collection[Alert]) -> Iterator[Closing]:
    """Yield the alerts about tasks that can be planned and called again."""
    broken = is_broken(using, alerts)
    for alert in alerts:
        if alert.task_id not in broken:
            yield alert, gettext("The task can be planned and called again.")
