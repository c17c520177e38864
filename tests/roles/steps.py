"""The steps of a heartbeat and a worker, taken by hand."""

from datetime import timedelta

from sisy.execution import Outcome
from sisy.models import Run, RunState
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.support.moments import DAY as DAY
from tests.support.moments import HOUR as HOUR
from tests.support.moments import MINUTE as MINUTE
from tests.support.moments import NOON as NOON
from tests.support.moments import SECOND as SECOND
from tests.support.records import scheduled as scheduled
from tests.support.records import worker as worker

LEASE = timedelta(seconds=30)


def held_run(holder, now=NOON, **fields):
    """Return a run of a new task, which a worker has claimed."""
    scheduled("0 0 1 1 *", **fields).run_now()
    [run] = claim(holder, ["default"], 1, now)
    return run


def outcome(now, state=RunState.SUCCEEDED, **columns):
    return Outcome(state=state, started_at=now, finished_at=now, **columns)


def finish(run, now, state=RunState.SUCCEEDED, **columns):
    record("default", [(run, outcome(now, state, **columns))], now)


def states():
    return list(Run.objects.order_by("id").values_list("state", flat=True))
