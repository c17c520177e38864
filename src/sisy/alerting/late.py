"""Judge queued runs that have not started in time, and say what keeps them.

Only tasks with ``start_within`` are judged. If few tasks have it, their queued runs are looked up
by task. Otherwise, the first runs of each queue are.

What keeps the runs is found for all of them together, in a few statements: if many runs are late,
most have the same cause, with which the texts of their alerts end.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from django.utils import timezone
from django.utils.translation import gettext

from sisy.alerting import closing_words
from sisy.alerting.advised_commands import CANCELLING, words_if_it_hangs
from sisy.alerting.capacity import Fleet
from sisy.alerting.crowds import Crowd, advice_for, crowd_in_words, others_in
from sisy.alerting.opening import Closing, without_open
from sisy.alerting.overruns import Found, by_key, limits_of, oldest
from sisy.alerting.problem import Problem, Watch, of_task, with_cause
from sisy.models import Alert, Overlap, QueuedRun, Run, RunningRun, Task
from sisy.records.problems import Kind
from sisy.runtime.durations import duration_text, rounded_text
from sisy.store.levels import first_of_each_priority, queues_with_runs

MAX_TASKS = 200  # tasks whose queued runs are looked up
MAX_QUEUED = 10_000  # queued runs in a statement; of each queue and priority otherwise


def judge_late(watch: Watch) -> Iterator[Problem]:
    """Yield the tasks with a run that has not started in time."""
    using, now = watch.using, watch.now
    found = {
        pk: (run, since, limit)
        for pk, (run, since, limit) in late_runs(using, now).items()
        if watch.waited(since) >= limit
    }
    found = without_open(using, Kind.LATE, found)
    if not found:
        return
    known = Run.objects.using(using).only("label", "queue", "priority", "engine", "ready_at")
    runs = known.in_bulk([run for run, _, _ in found.values()])
    # A run that is missing was deleted in the meantime.
    late = {pk: runs[run] for pk, (run, _, _) in found.items() if run in runs}
    obstacles = _Obstacles.of(using, late, now)
    words = gettext("A run has been queued for %(time)s, but should start within %(most)s")
    for pk, run in late.items():
        _, since, limit = found[pk]
        named = {"time": rounded_text(now - since), "most": duration_text(limit)}
        crowd, cause, fix = obstacles.of_run(pk, run)
        yield Problem(
            kind=Kind.LATE,
            subject=of_task(pk),
            since=since + limit,
            why=with_cause(f"{words % named}{crowd}", cause),
            cause=cause,
            fix=fix or gettext("Find out why with 'manage.py sisy_tasks why %d'.") % pk,
            label=run.label,
            queue=run.queue,
            task=pk,
            run=run.pk,
            evidence=run.pk,
        )


def over(using: str, alerts: Collection[Alert], now: datetime) -> Iterator[Closing]:
    """Yield the alerts about late runs of tasks that have none any more."""
    tasks = {alert.task_id for alert in alerts if alert.task_id is not None}
    late = late_runs(using, now, tasks)
    closing = [alert for alert in alerts if alert.task_id not in late]
    yield from zip(closing, closing_words.after_delay(using, closing), strict=True)


def late_runs(using: str, now: datetime, tasks: Collection[int] | None = None) -> Found:
    """Return the queued runs that have not started within ``start_within``.

    Args:
        tasks: the keys of the tasks to look at; by default, all tasks.
    """
    if tasks is None:
        every = Task.objects.using(using).filter(start_within__isnull=False)
        # By the index alone: with the key, the database would sort all tasks with the same value.
        shortest = every.order_by("start_within").values_list("pk", "start_within")
        limits = by_key(shortest[: MAX_TASKS + 1])
    else:
        limits = limits_of(using, "start_within", tasks)
    if not limits:
        return {}
    before = now - min(limits.values())
    waiting = QueuedRun.objects.using(using).filter(ready_at__lte=before)
    columns = ("run_id", "task_id", "ready_at")
    if len(limits) <= MAX_TASKS:
        few = waiting.filter(task_id__in=list(limits)).order_by("task_id", "run_id")
        rows = page = list(few.values_list(*columns)[:MAX_QUEUED])
        while len(page) == MAX_QUEUED:
            # The first runs of the last task were read. Its others must not hide later tasks.
            after = few.filter(task_id__gt=page[-1][1])
            page = list(after.values_list(*columns)[:MAX_QUEUED])
            rows += page
        return oldest(rows, limits, now)
    rows = []
    for queue in queues_with_runs(using):
        for level in first_of_each_priority(using, queue):
            if level.since <= before:
                of_level = waiting.filter(engine="", queue=queue, priority=level.priority)
                first = of_level.order_by("ready_at", "run_id")
                rows += list(first.values_list(*columns)[:MAX_QUEUED])
    return oldest(rows, limits_of(using, "start_within", {task for _, task, _ in rows}), now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Obstacles:
    """The obstacles that keep late runs from starting.

    Attributes:
        blockers: by the key of a task, its running run that the late one must wait for.
        others: how many further runs each crowd of late runs has.
    """

    fleet: Fleet
    blockers: Mapping[int, Run]
    others: Mapping[Crowd, int]

    @classmethod
    def of(cls, using: str, runs: Mapping[int, Run], now: datetime) -> Self:
        """Return the obstacles of runs, by the keys of their tasks."""
        fleet = Fleet.at(using, now)
        crowds = [_crowd_of(run) for run in runs.values() if fleet.fullness(run.queue)]
        return cls(fleet=fleet, blockers=_blockers(using, runs), others=others_in(using, crowds))

    def of_run(self, task: int, run: Run) -> tuple[str, str, str]:
        """Return how many wait with a run, to continue a sentence, what keeps it, and the fix.

        All are empty if that is unknown.
        """
        queue = run.queue
        if run.engine and queue not in self.fleet.paused:
            return "", "", ""
        if hindrance := self.fleet.hindrance(queue, timezone.get_default_timezone()):
            return "", hindrance, self.fleet.remedy(queue)
        if blocker := self.blockers.get(task):
            # Without its number: each task waits for another run, and the cause is the same.
            cause = gettext("an earlier run of the same task is still running")
            return "", cause, words_if_it_hangs(blocker)
        if fullness := self.fleet.fullness(queue):
            others = self.others.get(_crowd_of(run), 0)
            crowd = f". {crowd_in_words(others)}" if others else ""
            return crowd, fullness, advice_for(others)
        return "", "", ""


def _crowd_of(run: Run) -> Crowd:
    return Crowd.at(run.queue, run.priority, run.ready_at)


def _blockers(using: str, tasks: Iterable[int]) -> dict[int, Run]:
    """Return the running run of each task whose runs must not overlap, by the task's key."""
    entries = RunningRun.objects.using(using).filter(task_id__in=list(tasks)).order_by("-run_id")
    running = dict(entries.values_list("task_id", "run_id")[:MAX_QUEUED])
    if not running:
        return {}
    runs = Run.objects.using(using).filter(pk__in=running.values())
    waited_for = runs.exclude(task__overlap=Overlap.ALLOW).only("task", *CANCELLING)
    return {run.task_id: run for run in waited_for if run.task_id is not None}
