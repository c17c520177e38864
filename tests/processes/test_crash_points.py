"""A process that is ended, or frozen, at each named point of its work, and a fresh one goes on.

Dagster's method. The failures of the field: runs that are stuck in "running" for ever, an entry
that is fired twice after a restart, a task that is gone before its last run, and messages that are
lost with the worker that had read them.
"""

import os
import re
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

import sisy
from sisy import clock
from sisy.models import OnLost, Process, Role, Run, RunState, Task, task_with_callable
from tests.app import jobs
from tests.app.models import Execution
from tests.processes.ahead import iterate_until, submit_until
from tests.processes.crash_points import (
    BETWEEN_STATEMENTS,
    IN_THE_FUNCTION,
    PLANNED_AHEAD,
    POINTS,
    RETIRED_AFTER_ITS_RUN,
    STARTED_AHEAD,
    UNLOCKED,
)
from tests.support.moments import SECOND
from tests.support.small_tables import disagreements
from tests.support.waiting import wait_until

LEASE = 5  # seconds, the shortest
SITE_BATCH = 5  # sites
NO_ITERATION = [RunState.MISSED, RunState.SKIPPED]
REACHED = POINTS if connection.vendor == "postgresql" else POINTS + BETWEEN_STATEMENTS
# Whether lost runs are rerun matters only while there are some, or Sisy looks for them.
RUNS_LOST = ("claim: ", "start", "finish: ", "retry: ", "rescue: ")
KILLED = (signal.SIGKILL, OnLost.RERUN, REACHED)
ENDS = {
    "killed": KILLED,
    "killed, at most once": (
        *(signal.SIGKILL, OnLost.FAIL),
        [point for point in REACHED if point.startswith(RUNS_LOST)],
    ),
    # It notes the signal, and goes on to the next statement.
    "told to end": (signal.SIGTERM, OnLost.RERUN, POINTS),
}
if "DATABASE_URL" in os.environ:
    # The others differ in Sisy's own code, and not in what a database does. Who is frozen in the
    # middle of a transaction locks all of SQLite, and there is nobody who could end that. Outside
    # of transactions, it locks nothing on any server.
    frozen = [point for point in REACHED if not point.endswith(UNLOCKED)]
    frozen = REACHED if connection.vendor == "postgresql" else frozen
    ENDS = {"killed": KILLED, "frozen": (signal.SIGSTOP, OnLost.RERUN, frozen)}
BATCHES = [
    pytest.param(
        number, on_lost, points[start : start + SITE_BATCH], id=f"{name} at {points[start]}"
    )
    for name, (number, on_lost, points) in ENDS.items()
    for start in range(0, len(points), SITE_BATCH)
]


def workload(on_lost):
    """Save tasks that end soon, and lead a process to all the points on their way."""
    for label, fn, fields in [
        # Those that are still to come when the site starts are planned ahead.
        ("plain", jobs.record, {"iterations": 4}),
        ("async", jobs.arecord, {"iterations": 1}),
        ("failing", jobs.fails_at_first, {"iterations": 1, "max_attempts": 2}),
    ]:
        task_with_callable(
            fn,
            label=label,
            schedule="* * * * * *",
            on_lost=on_lost,
            retry_delay=timedelta(0),
            **fields,
        ).save()
    orphan(on_lost)


def orphan(on_lost):
    """Leave a run behind whose worker has died before."""
    now = clock.now("default") - timedelta(minutes=1)
    task = task_with_callable(jobs.record, label="orphan", schedule="0 0 1 1 *", on_lost=on_lost)
    task.save()
    dead = Process.join(Role.WORKER, using="default", now=now, lease=LEASE * SECOND)
    task.new_run(now=now, state=RunState.RUNNING, process=dead, attempt=1, started_at=now).save()


def is_over():
    others = Task.objects.exclude(label="orphan")
    return not others.exists() and not Run.objects.live().exists()


def assert_each_occurrence_has_one_row(label):
    """Each second from the first one due to the last one lies in one row, and in one only."""
    seconds = Counter()
    for run in Run.objects.filter(label=label):
        assert run.due_at is not None
        seconds.update(run.due_at + n * SECOND for n in range(run.count))
    first, last = min(seconds), max(seconds)
    assert set(seconds.values()) == {1}
    assert len(seconds) == (last - first) / SECOND + 1


def assert_executed_as_often_as_allowed(run, on_lost):
    executions = Counter(Execution.objects.filter(run=run.pk).values_list("attempt", flat=True))
    failures = run.attempts.filter(state=RunState.FAILED).count()
    assert run.state in (RunState.SUCCEEDED, RunState.LOST)
    if on_lost == OnLost.FAIL:
        assert set(executions.values()) <= {1}
        assert executions.total() <= failures + 1
    else:
        assert run.state == RunState.SUCCEEDED
        # One more than is on the books: a function that was begun and given back, or was cut off.
        assert 1 <= executions.total() <= failures + run.times_lost + 2


class Trial:
    """A site whose only process is ended at a point, and which a fresh one takes up."""

    def __init__(self, opened, forks, point, number, on_lost):
        self.point, self._number, self._on_lost = point, number, on_lost
        self._site, self.database = opened
        self._forks = forks
        self._site.set(SISY_LEASE_SECONDS=LEASE, SISY_HEARTBEAT_FREQUENCY=1)
        self._reached = self._site.folder / "reached"
        with self.database():
            workload(on_lost)

    def begin(self):
        self._crashing = self._site.fork(
            self._forks,
            *("sisy", "--grace", "1"),
            main="tests.processes.crashing:main",
            SISY_TEST_POINT=self.point,
            SISY_TEST_SIGNAL=str(int(self._number)),
            SISY_TEST_REACHED=str(self._reached),
        )

    def go_on(self):
        # A busy machine may start all runs of the workload late.
        if self.point in STARTED_AHEAD:
            with self.database():
                submit_until(self._reached.exists, label="soon", on_lost=self._on_lost)
        if self.point in (*PLANNED_AHEAD, RETIRED_AFTER_ITS_RUN):
            with self.database():
                iterate_until(self._reached.exists, label="soon", on_lost=self._on_lost)
        if self._number == signal.SIGSTOP:
            wait_until(self._reached.exists, "the point is reached")
        else:
            code = self._crashing.ends()
            assert self._reached.exists(), f"the point was not reached: {self.point}"
            assert code == (-self._number if self._number == signal.SIGKILL else 0)
            with self.database():
                assert disagreements() == []
        self._fresh = self._site.fork(self._forks, "sisy")

    def end(self):
        with self.database():
            wait_until(is_over, f"all is over after {self.point}")
            if self._number == signal.SIGSTOP:
                self._crashing.send(signal.SIGKILL)
            assert self._fresh.stop() == 0
            assert disagreements() == []
            for label, iterations in (("plain", 4), ("async", 1), ("failing", 1)):
                assert_each_occurrence_has_one_row(label)
                runs = Run.objects.filter(label=label).exclude(state__in=NO_ITERATION)
                assert runs.count() == iterations
                for run in runs:
                    assert_executed_as_often_as_allowed(run, self._on_lost)
            for run in Run.objects.filter(label="soon"):
                assert_executed_as_often_as_allowed(run, self._on_lost)
            orphan = Run.objects.get(label="orphan")
            wanted = RunState.SUCCEEDED if self._on_lost == OnLost.RERUN else RunState.LOST
            assert orphan.state == wanted


@pytest.mark.parametrize(("number", "on_lost", "points"), BATCHES)
def test_work_killed_or_frozen_at_any_point_is_completed(new_site, forks, points, number, on_lost):
    trials = [Trial(new_site(), forks, point, number, on_lost) for point in points]
    for step in (Trial.begin, Trial.go_on, Trial.end):
        for trial in trials:
            step(trial)


def test_processes_are_killed_at_every_checkpoint():
    named = {
        name
        for path in Path(sisy.__file__).parent.rglob("*.py")
        for name in re.findall(r'checkpoint\("([^"]*)"\)', path.read_text())
    }
    assert named == {*POINTS, *BETWEEN_STATEMENTS} - {IN_THE_FUNCTION}
