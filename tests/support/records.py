"""Records that tests of all areas need."""

from sisy.alerting.problem import of_task, open_key
from sisy.models import Alert, Process, Role, task_with_callable
from tests.app import jobs
from tests.support.moments import HOUR, NOON


def scheduled(schedule="* * * * *", fn=jobs.noop, **fields):
    """Return a new task, by default one that runs each minute."""
    task = task_with_callable(fn, **{"schedule": schedule, "timezone": "UTC", **fields})
    task.save()
    return task


def worker(now=NOON, lease=HOUR):
    """Return a new worker, signed on at ``now``."""
    return Process.join(Role.WORKER, using="default", now=now, lease=lease)


def stored(row):
    """Return a task or a run as the database has it."""
    return type(row).objects.get(pk=row.pk)


def open_alert(task, kind, now, **fields):
    """Store an alert about a task, as a heartbeat opens it."""
    subject = of_task(task.pk)
    return Alert.objects.create(
        kind=kind,
        subject=subject,
        open_key=open_key(kind, subject),
        task_id=task.pk,
        label=task.label,
        opened_at=now,
        **{"since": now, **fields},
    )
