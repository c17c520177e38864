"""A shop whose tasks have a day behind them, for pictures: ``store(now)``."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from sisy.models import (
    Attempt,
    Missed,
    Origin,
    Overlap,
    Process,
    Role,
    Run,
    RunOutput,
    RunState,
    Task,
    task_with_callable,
)
from sisy.planning.timing import occurrences
from tests.app import jobs
from tests.support.moments import HOUR, MINUTE, SECOND

LONG_AGO = timedelta(hours=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A task, how long it takes, and how often it comes to trouble."""

    label: str
    schedule: str
    takes: timedelta
    timezone: str = "UTC"
    trouble: float = 0.0
    state: str = RunState.FAILED
    error: str = ""
    fields: tuple[tuple[str, object], ...] = ()


OUT_OF_STOCK = "KeyError: 'anvil-3000'"
SLOW_BANK = "TimeoutError: the bank did not answer within 30 s"
JOBS = (
    Job(label="sync stock levels", schedule="*/5 * * * *", takes=40 * SECOND),
    Job(
        label="charge cards",
        schedule="*/15 * * * *",
        takes=2 * MINUTE,
        trouble=0.06,
        error=SLOW_BANK,
        fields=(("max_attempts", 3), ("queue", "payments"), ("on_lost", "fail")),
    ),
    Job(label="rebuild the search index", schedule="0 * * * *", takes=70 * MINUTE),
    Job(label="send newsletters", schedule="0 9 * * mon-fri", takes=35 * MINUTE),
    Job(
        label="nightly report",
        schedule="30 2 * * *",
        takes=48 * MINUTE,
        timezone="Europe/Berlin",
    ),
    Job(
        label="import prices",
        schedule="*/30 * * * *",
        takes=6 * MINUTE,
        trouble=0.5,
        error=OUT_OF_STOCK,
    ),
    Job(label="poll the couriers", schedule="* * * * *", takes=3 * SECOND),
    Job(label="close abandoned carts", schedule="h * * * *", takes=90 * SECOND),
    Job(
        label="resize pictures",
        schedule="20 */2 * * *",
        takes=25 * MINUTE,
        fields=(("overlap", Overlap.ALLOW), ("queue", "slow"), ("timeout", 45 * MINUTE)),
    ),
    Job(
        label="renew certificates",
        schedule="0 4 * * sun",
        takes=20 * SECOND,
        timezone="America/New_York",
    ),
    Job(label="back up the database", schedule="15 1,13 * * *", takes=55 * MINUTE),
    Job(
        label="take stock",
        schedule="0 0 l * *",
        takes=3 * HOUR,
        timezone="Asia/Tokyo",
        fields=(("missed", Missed.ALL),),
    ),
    Job(label="warm the caches", schedule="*/10 6-22 * * *", takes=15 * SECOND),
    *(
        Job(label=f"invoices of shop {n}", schedule="0 0 * * *", takes=25 * MINUTE)
        for n in range(1, 31)
    ),
)


def store(now: datetime) -> None:
    """Store the tasks, and what they came to in the last day."""
    luck = random.Random(7)
    workers = [
        Process.join(
            Role.WORKER,
            using="default",
            now=now - 3 * HOUR,
            lease=4 * HOUR - 5 * MINUTE,
            queues=queues,
            slots=slots,
        )
        for queues, slots in ((("default", "payments"), 8), (("default",), 8), (("slow",), 2))
    ]
    for host, worker in zip(("shop-1", "shop-2", "shop-2"), workers, strict=True):
        worker.host = host
        worker.save()
    runs: list[Run] = []
    for job in JOBS:
        task = task_with_callable(
            jobs.sleeps,
            label=job.label,
            schedule=job.schedule,
            timezone=job.timezone,
            userdata={"seconds": 0.2, "region": "eu-west", "api_token": "s3cr3t"},
            **dict(job.fields),
        )
        task.save()
        runs += runs_of(task, job, workers, now, luck)
    Run.objects.bulk_create(sorted(runs, key=attrgetter("planned_at")))
    Attempt.objects.bulk_create(filter(None, map(first_attempt_of, runs)))
    RunOutput.objects.bulk_create(filter(None, (output_of(run, now) for run in runs)))
    paused = task_with_callable(jobs.noop, label="old import (paused)", schedule="0 5 * * *")
    paused.save()
    paused.pause("Replaced by import prices.")


def runs_of(
    task: Task, job: Job, workers: list[Process], now: datetime, luck: random.Random
) -> Iterator[Run]:
    """Yield what the task came to; around four hours ago nothing ticked for a while."""
    task.next_run = None
    outage = (now - 4 * HOUR, now - 4 * HOUR + 25 * MINUTE)
    free_at = now - LONG_AGO
    missed: list[datetime] = []
    for due in occurrences(task, now - LONG_AGO):
        if due >= now:
            break
        if outage[0] < due < outage[1]:
            missed.append(due)
            continue
        if missed:
            yield gap(task, missed)
            missed = []
        if due < free_at and task.overlap != Overlap.ALLOW:
            yield skipped(task, due)
            continue
        begun = due + luck.uniform(8, 90) * timedelta(milliseconds=1)
        free_at = begun + job.takes * luck.uniform(0.7, 1.4)
        worker = workers[2 if task.queue == "slow" else luck.randrange(2)]
        how = outcome(job, begun, free_at, now, luck)
        yield task.new_run(
            now=due,
            due_at=due,
            ready_at=due,
            started_at=begun,
            attempt=1,
            process=worker,
            **how,
        )


def outcome(
    job: Job, begun: datetime, ended: datetime, now: datetime, luck: random.Random
) -> dict[str, object]:
    """Return how a run ended, or that it goes on."""
    if ended >= now:
        return {"state": RunState.RUNNING}
    if luck.random() < job.trouble:
        return {
            "state": job.state,
            "reason": job.error,
            "error": f"Traceback (most recent call last):\n  …\n{job.error}",
            "finished_at": begun + (ended - begun) / 5,
        }
    rows = {"rows": luck.randrange(9000)}
    return {"state": RunState.SUCCEEDED, "result": rows, "finished_at": ended}


def first_attempt_of(run: Run) -> Attempt | None:
    """Return the attempt before the one that ended a failed import, and delay the latter."""
    if run.label != "import prices" or run.state != RunState.FAILED or run.started_at is None:
        return None
    attempt = Attempt(
        run=run,
        number=1,
        state=RunState.FAILED,
        reason=run.reason,
        error=run.error,
        worker_name=str(run.process),
        started_at=run.started_at,
        finished_at=run.started_at + 35 * SECOND,
    )
    run.attempt, run.ready_at = 2, run.started_at + 50 * SECOND
    run.started_at, run.finished_at = run.ready_at + 4 * SECOND, run.ready_at + 58 * SECOND
    run.save()
    return attempt


def output_of(run: Run, now: datetime) -> RunOutput | None:
    """Return what a run has printed, if it imports prices or is still running."""
    if run.started_at is None or not (run.label == "import prices" or run.state == "running"):
        return None
    share = 0.2 if run.state == RunState.FAILED else 0.62
    done, total = int(share * 9000), 9000
    lines = [f"{run.started_at:%H:%M:%S} INFO shop.prices: Reading prices of eu-west"]
    lines += [f"imported {n:,} of {total:,} rows" for n in range(500, done, 500)]
    if run.state == RunState.FAILED:
        lines.append(f"{run.finished_at:%H:%M:%S} WARNING shop.prices: anvil-3000 has no price")
    text = "\n".join([*lines, ""])
    return RunOutput(
        run_id=run.pk,
        attempt=run.attempt,
        process_id=run.process_id,
        head=text,
        written=len(text),
        done=done,
        total=total,
        message=f"row {done:,}",
        progressed_at=run.finished_at or now - SECOND,
        updated_at=run.finished_at or now - SECOND,
    )


def skipped(task: Task, due: datetime) -> Run:
    """Return the row of an occurrence that found the run before it still going."""
    return task.new_run(
        now=due,
        due_at=due,
        ready_at=due,
        state=RunState.SKIPPED,
        reason="The run before it still went on.",
        finished_at=due,
    )


def gap(task: Task, missed: list[datetime]) -> Run:
    """Return the row that stands for what was missed while nothing ticked."""
    until = missed[-1] if len(missed) > 1 else None
    return task.new_run(
        now=missed[-1],
        due_at=missed[0],
        due_until=until,
        count=len(missed),
        origin=Origin.SCHEDULE,
        state=RunState.MISSED,
        reason="No heartbeat planned the task in time.",
        finished_at=missed[-1] + MINUTE,
    )
