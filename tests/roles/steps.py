"""The steps of a heartbeat and a worker, taken by hand."""

from datetime import UTC, datetime, timedelta

from sisy.execution import Outcome
from sisy.models import Process, Role, Run, RunState, task_with_callable
from sisy.worker.recording import record
from tests.app import jobs

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days")
)
LEASE = timedelta(seconds=30)


def scheduled(schedule="* * * * *", fn=jobs.noop, **fields):
    task = task_with_callable(fn, schedule=schedule, timezone="UTC", **fields)
    task.save()
    return task


def worker(now=NOON, lease=HOUR):
    return Process.join(Role.WORKER, using="default", now=now, lease=lease)


def outcome(now, state=RunState.SUCCEEDED, **columns):
    return Outcome(state=state, started_at=now, finished_at=now, **columns)


def finish(run, now, state=RunState.SUCCEEDED, **columns):
    record("default", [(run, outcome(now, state, **columns))], now)


def states():
    return list(Run.objects.order_by("id").values_list("state", flat=True))
