"""Judge runs while they last: those that take too long, or are stalled.

Only tasks with ``expected_duration`` or ``stalled_after`` are judged. There are few running runs,
at most one for each slot of a worker, so their tasks are looked up.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from django.db.models import Min
from django.utils.translation import gettext

from sisy.alerting import closing_words
from sisy.alerting.advised_commands import words_if_it_hangs
from sisy.alerting.opening import Closing, without_open
from sisy.alerting.problem import Problem, Watch, of_task
from sisy.models import Alert, Run, RunningRun, RunOutput, Task
from sisy.models.run import RunQuerySet
from sisy.records.problems import Kind
from sisy.records.task_fields import LIMITS_OF_RUNS
from sisy.runtime.durations import duration_text, rounded_text

MAX_RUNNING = 10_000  # running runs whose tasks are looked up

Found = dict[int, tuple[int, datetime, timedelta]]
"""By the key of a task: its oldest run, since when that waits or runs, and how long it may."""


def shortest_expectation(using: str) -> timedelta | None:
    """Return the shortest time in which a task expects something; None if no task does."""
    tasks = Task.objects.using(using).order_by()
    found = [
        tasks.filter(**{f"{name}__isnull": False}).aggregate(shortest=Min(name))["shortest"]
        for name in LIMITS_OF_RUNS
    ]
    return min(filter(None, found), default=None)


def slow(watch: Watch) -> Iterator[Problem]:
    """Yield the tasks with a run that has been running for longer than expected."""
    words = gettext("A run is taking longer than the expected %(most)s.")
    found = without_open(watch.using, Kind.SLOW, _slow_runs(watch.using, watch.now))
    runs = _runs_of(watch.using, found)
    for pk, (run, since, limit) in found.items():
        why = words % {"most": duration_text(limit)}
        yield _problem(Kind.SLOW, pk, run, runs.get(run), since + limit, why)


def stalled(watch: Watch) -> Iterator[Problem]:
    """Yield the tasks with a running run that has reported no progress for too long."""
    words = gettext(
        "A run has reported no progress for %(time)s, but should report some every %(most)s."
    )
    hint = gettext("See what it is doing with 'manage.py sisy_runs show %d'.")
    found = without_open(watch.using, Kind.STALLED, stalled_runs(watch.using, watch.now))
    runs = _runs_of(watch.using, found)
    for pk, (run, since, limit) in found.items():
        # While the database was away, no worker could store any progress.
        if watch.waited(since) >= limit:
            named = {"time": rounded_text(watch.now - since), "most": duration_text(limit)}
            why = words % named
            yield _problem(Kind.STALLED, pk, run, runs.get(run), since + limit, why, hint % run)


def over(using: str, alerts: Iterable[Alert], now: datetime) -> Iterator[Closing]:
    """Yield the alerts about slow or stalled runs of tasks that have none any more."""
    listed = list(alerts)
    tasks = {alert.task_id for alert in listed if alert.task_id is not None}
    slow_ones = _slow_runs(using, now, tasks)
    stalled_ones = stalled_runs(using, now, tasks)
    still = {Kind.SLOW: slow_ones, Kind.STALLED: stalled_ones}
    closing = [alert for alert in listed if alert.task_id not in still[Kind(alert.kind)]]
    yield from zip(closing, closing_words.after_overrun(using, closing), strict=True)


def _runs_of(using: str, found: Found) -> dict[int, Run]:
    """Return the runs that were found, by key."""
    runs = Run.objects.using(using).defer("payload", "result", "error")
    return runs.in_bulk([run for run, _, _ in found.values()]) if found else {}


def _problem(
    kind: Kind, task: int, pk: int, run: Run | None, since: datetime, why: str, hint: str = ""
) -> Problem:
    advice = words_if_it_hangs(run) if run else ""
    return Problem(
        kind=kind,
        subject=of_task(task),
        since=since,
        why=why,
        fix=" ".join(filter(None, (hint, advice))),
        label=run.label if run else "",
        queue=run.queue if run else "",
        task=task,
        run=pk,
        evidence=pk,
    )


def _slow_runs(using: str, now: datetime, tasks: Collection[int] | None = None) -> Found:
    limits, running = _running(using, "expected_duration", tasks)
    return oldest(running.values_list("pk", "task_id", "started_at"), limits, now)


def stalled_runs(using: str, now: datetime, tasks: Collection[int] | None = None) -> Found:
    """Return the running runs that have reported no progress for ``stalled_after``.

    A run that has reported none counts from its start.

    Args:
        tasks: the keys of the tasks to look at; by default, those of all running runs.
    """
    limits, running = _running(using, "stalled_after", tasks)
    rows = list(running.values_list("pk", "task_id", "started_at", "attempt", "process_id"))
    stored = RunOutput.objects.using(using).filter(run_id__in=[run for run, *_ in rows])
    # A released run is executed again by the attempt of the same number, in another process.
    reported = stored.values_list("run_id", "attempt", "process_id", "progressed_at")
    moments = {tuple(attempt): at for *attempt, at in reported if at is not None}
    since = (
        (run, task, moments.get((run, attempt, process), started_at))
        for run, task, started_at, attempt, process in rows
    )
    return oldest(since, limits, now)


def _running(
    using: str, name: str, tasks: Collection[int] | None
) -> tuple[dict[int, timedelta], RunQuerySet]:
    """Return the limits of running tasks that have one, by key, and the running runs of these."""
    entries = RunningRun.objects.using(using).order_by()
    if tasks is not None:
        entries = entries.filter(task_id__in=tasks)
    task_of = dict(entries.values_list("run_id", "task_id")[:MAX_RUNNING])
    limits = limits_of(using, name, set(task_of.values()))
    runs = [run for run, task in task_of.items() if task in limits]
    running: RunQuerySet = Run.objects.using(using).filter(pk__in=runs).order_by("pk")
    return limits, running


def limits_of(using: str, name: str, tasks: Collection[int]) -> dict[int, timedelta]:
    """Return the value of a column of tasks that have one, by their keys."""
    if not tasks:
        return {}
    given = Task.objects.using(using).filter(pk__in=tasks, **{f"{name}__isnull": False})
    return by_key(given.values_list("pk", name))


def by_key(rows: Iterable[tuple[int, timedelta | None]]) -> dict[int, timedelta]:
    """Return the limits of tasks that have one, by their keys."""
    return {pk: limit for pk, limit in rows if limit is not None}


def oldest(
    rows: Iterable[tuple[int, int, datetime | None]],
    limits: Mapping[int, timedelta],
    now: datetime,
) -> Found:
    """Return the first run of each task that is over its limit."""
    found: Found = {}
    for run, task, since in rows:
        limit = limits.get(task)
        if limit is None or since is None or now - since < limit:
            continue
        if task not in found or since < found[task][1]:
            found[task] = (run, since, limit)
    return found
