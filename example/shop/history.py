"""Store what the last two days would have left in the ledger, if the shop had been open.

An application never does this: heartbeats and workers write the ledger. It lets the dashboard show
more than the seconds since the demo was started.
"""

import asyncio
import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from unittest import mock

from django.db.models import OuterRef, Subquery

from shop import midnight, outside, pictures
from sisy.alerting.judge import Judge
from sisy.models import (
    Attempt,
    Missed,
    Process,
    Role,
    Run,
    RunOutput,
    RunState,
    Task,
    TaskChange,
    TaskState,
)
from sisy.planning.timing import occurrences
from sisy.records.choices import STOPPED

DAY = timedelta(days=1)
SPAN = timedelta(hours=48)
SLOTS = 4
IMPORT, STOCK = "catalogue: import prices", "stock: ask the warehouse"
PICTURES = "catalogue: resize pictures"
SOURCES = {outside.__file__, pictures.__file__}
SPANS = {STOCK: timedelta(hours=8), "newsletter: send": timedelta(hours=20)}


class History:
    """The last two days of the shop.

    Args:
        now: when they end.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._luck = random.Random(7)
        self._errors = errors_of_the_shop()
        self.deployed = last(now - timedelta(hours=12), 16, 4)
        """When the import of prices was changed, and the worker of the labels was forgotten."""
        self.outage = last_outage(now)
        """From when to when no heartbeat ran."""
        self._disk_full_at = last(now, 6, 0) - DAY
        self._workers = [
            (start, self._worker(start, end, queues))
            for start, end, queues in (
                (now - SPAN, self.deployed, ["default", "labels"]),
                (self.deployed, now, ["default"]),
            )
        ]
        ended_process(Role.HEARTBEAT, 812, now - SPAN, self.outage[0])
        ended_process(Role.HEARTBEAT, 4101, self.outage[1], now)

    def store(self) -> None:
        """Store the runs of all tasks."""
        Task.objects.update(created_at=self._now - SPAN)
        self._change_the_import()
        runs = [run for task in Task.objects.all() for run in self._runs_of(task)]
        midnight.let_invoices_wait(runs, SLOTS)
        runs.sort(key=attrgetter("planned_at"))
        stored: list[Run] = []
        for watch in self._watches(runs):
            judge = Judge("default")
            for moment in watch:
                stored += self._store_until(moment, runs[len(stored) :])
                with midnight.as_it_was(stored, moment):
                    judge.go_on(moment, may_judge=True)
        of_task = Run.objects.filter(task=OuterRef("pk")).order_by("-due_at")
        Task.objects.update(last_run=Subquery(of_task.values("due_at")[:1]))

    def _store_until(self, moment: datetime, runs: list[Run]) -> list[Run]:
        """Store and return the runs that were planned before a moment."""
        past = Run.objects.bulk_create([run for run in runs if run.planned_at < moment])
        Attempt.objects.bulk_create([first_attempt(run) for run in past if run.attempt > 1])
        RunOutput.objects.bulk_create(
            [output_of(run) for run in past if run.label == IMPORT and run.started_at]
        )
        return past

    def _change_the_import(self) -> None:
        """Store who has changed the import of prices: a person, and then the deploy."""
        retries = {"max_attempts": [1, 2], "retry_delay": ["00:00:10", "00:00:20"]}
        for moment, kind, name, fields in (
            (self._now - 0.9 * SPAN, "person", "ann", {"schedule": ["0 * * * *", "*/10 * * * *"]}),
            (self.deployed, "declaration", "", retries),
        ):
            TaskChange.objects.create(
                task_id=Task.objects.get(label=IMPORT).pk,
                changed_at=moment,
                kind=kind,
                by=name,
                fields=fields,
            )

    def _worker(self, start: datetime, end: datetime, queues: list[str]) -> Process:
        """Store a worker that has ended."""
        pid = self._luck.randrange(1000, 30_000)
        return ended_process(Role.WORKER, pid, start, end, queues=queues, slots=SLOTS)

    def _runs_of(self, task: Task) -> Iterator[Run]:
        """Yield the runs of a task."""
        moments = list(self._occurrences(task))
        begin, end = self.outage
        for due in moments:
            if not begin < due < end:
                yield self._run(task, due)
        missed = [due for due in moments if begin < due < end]
        if missed and task.missed == Missed.LATEST:
            yield self._run(task, missed.pop(), planned_at=end)
        if missed:
            yield task.new_run(
                now=end,
                due_at=missed[0],
                due_until=missed[-1] if len(missed) > 1 else None,
                count=len(missed),
                state=RunState.MISSED,
                reason="No heartbeat planned the task in time.",
                finished_at=end,
            )

    def _occurrences(self, task: Task) -> Iterator[datetime]:
        if task.state != TaskState.ACTIVE or not task.schedule:
            return
        task.next_run = None  # on this object only: it would hide what was before
        for due in occurrences(task, self._now - SPANS.get(task.label, SPAN)):
            # From then on, a heartbeat plans the task.
            if due > task.planning_since:
                return
            yield due

    def _run(self, task: Task, due: datetime, planned_at: datetime | None = None) -> Run:
        now = planned_at or due
        if task.queue == "labels" and due > self.deployed:
            return task.new_run(now=now, due_at=due, state=RunState.QUEUED)
        delay = self._luck.uniform(2, 30) * timedelta(milliseconds=1)
        started_at = min(now + delay, self._now)
        seconds = (task.userdata or {}).get("seconds", 0.4) * self._luck.uniform(0.7, 1.4)
        process = next(worker for start, worker in reversed(self._workers) if start <= due)
        outcome = self._outcome(task, due)
        is_retried = outcome["state"] == RunState.FAILED and task.max_attempts > 1
        if is_retried:
            started_at += task.retry_delay
        return task.new_run(
            now=now,
            due_at=due,
            ready_at=now + task.retry_delay if is_retried else due,
            started_at=started_at,
            finished_at=min(started_at + timedelta(seconds=seconds), self._now),
            attempt=2 if is_retried else 1,
            process=process,
            **outcome,
        )

    def _outcome(self, task: Task, due: datetime) -> dict[str, object]:
        fails = {
            IMPORT: due > self.deployed,
            STOCK: outside.is_warehouse_down(due),
            PICTURES: self._disk_full_at == due,
        }
        if not fails.get(task.label):
            return {"state": RunState.SUCCEEDED, "result": {"rows": self._luck.randrange(9000)}}
        error = self._errors[task.label]
        name = type(error).__name__
        return {
            "state": RunState.FAILED,
            "reason": f"{name}: {error}",
            "error": "".join(traceback.format_exception(error)),
            "error_class": f"builtins.{name}",
        }

    def _watches(self, runs: list[Run]) -> list[list[datetime]]:
        """Return when a heartbeat judged: alerts open, are reported, and most close."""
        minute, deployed, end = timedelta(minutes=1), self.deployed, self.outage[1]
        watches = [
            [deployed + 11 * minute, deployed + 12 * minute, deployed + 13 * minute],
            [end + minute, end + 2 * minute],
            [end + 40 * minute, end + 41 * minute],
            [self._now - SPANS[STOCK] + 25 * minute],
            [self._disk_full_at + minute],
            [self._disk_full_at + 25 * minute, self._disk_full_at + 26 * minute],
            *midnight.watches(runs),
        ]
        past = [[moment for moment in watch if moment < self._now] for watch in sorted(watches)]
        return [*past, [self._now]]


def last(now: datetime, hour: int, minute: int) -> datetime:
    """Return the last moment before now at which it was so late."""
    moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return moment if moment <= now else moment - timedelta(days=1)


def last_outage(now: datetime) -> tuple[datetime, datetime]:
    """Return from when to when no heartbeat ran: in the night of the last backup.

    It ended a minute ago or earlier. So the backup is missed until the next night.
    """
    backup = last(now - timedelta(minutes=3), 3, 0)
    end = min(backup + timedelta(hours=2, minutes=10), now - timedelta(minutes=1))
    return backup - timedelta(hours=1, minutes=20), end


def first_attempt(run: Run) -> Attempt:
    """Return the attempt before the last one."""
    return Attempt(
        run=run,
        number=1,
        state=run.state,
        reason=run.reason,
        error=run.error,
        worker_name=str(run.process),
        started_at=run.due_at,
        finished_at=run.due_at + (run.finished_at - run.started_at),
    )


def output_of(run: Run) -> RunOutput:
    """Return what an import of prices has printed."""
    text = f"Reading {len(outside.PRICES)} rows of the price list\n"
    return RunOutput(
        run_id=run.pk,
        attempt=run.attempt,
        process_id=run.process_id,
        head=text,
        written=len(text),
        updated_at=run.finished_at,
    )


def errors_of_the_shop() -> dict[str, Exception]:
    """Return the errors that the shop's functions raise, by the labels of their tasks."""
    with (
        mock.patch("shop.outside.is_warehouse_down", return_value=True),
        mock.patch("shop.pictures.free_bytes", return_value=0),
    ):
        return {
            IMPORT: error_of(lambda: outside.import_prices({}), KeyError),
            STOCK: error_of(lambda: outside.sync_stock({}), ConnectionError),
            PICTURES: error_of(lambda: asyncio.run(pictures.resize({})), OSError),
        }


def error_of(call: Callable[[], object], expected: type[Exception]) -> Exception:
    """Return the error that a call raises, with the frames of the shop only."""
    with redirect_stdout(None):
        try:
            call()
        except expected as error:
            frames = error.__traceback__
            while frames and frames.tb_frame.f_code.co_filename not in SOURCES:
                frames = frames.tb_next
            return error.with_traceback(frames)
    raise AssertionError("it raises an error")


def ended_process(role: Role, pid: int, start: datetime, end: datetime, **more: Any) -> Process:
    """Store a process that was stopped."""
    return Process.objects.create(
        role=role,
        host="shop-1",
        pid=pid,
        started_at=start,
        lease_until=end,
        ended_at=end,
        end_reason=STOPPED,
        **more,
    )
