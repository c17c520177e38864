"""Judge queues: those whose oldest run waits too long, and those that no worker serves.

The first run of each queue and priority tells how long its runs wait, so a queue of a million runs
costs as little as one of two. Paused queues wait on purpose.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext

from sisy import conf
from sisy.alerting.capacity import Fleet, running
from sisy.alerting.crowds import Crowd, advice_for, crowd_in_words, others_in
from sisy.alerting.opening import Closing, open_subjects
from sisy.alerting.problem import Problem, Watch, of_queue, with_cause
from sisy.models import Alert, Process, Queue, QueuedRun, RunningRun, Task
from sisy.records.problems import Kind
from sisy.runtime.durations import rounded_text
from sisy.store.levels import Level, first_of_each_priority, queues_with_runs

WORKERLESS = timedelta(minutes=1)  # that a run may wait if no worker serves its queue
MAX_TASKS_READ = 1000  # tasks that are due next, whose queues need a worker
MAX_FIRST_READ = 100  # runs of a queue to read, to find one that no run of its task blocks


@dataclass(frozen=True, slots=True)
class _Oldest:
    """The run of a queue that has been ready for longest, and only needs a worker."""

    run: int
    ready_at: datetime
    crowd: Crowd


def judge_queues(watch: Watch, paused_until: dict[str, datetime]) -> Iterator[Problem]:
    """Yield the queues whose runs wait too long.

    Args:
        paused_until: when each queue was last seen to be paused, which is noted here.
    """
    limit = queue_limit()
    found, paused = _waiting(watch.using, watch.now, min(limit, WORKERLESS))
    paused_until |= dict.fromkeys(paused, watch.now)
    if not found:
        return
    fleet = Fleet.at(watch.using, watch.now)
    delayed = []
    for queue, oldest in found.items():
        serving = fleet.serving(queue)
        if not serving:
            if watch.waited(oldest.ready_at) >= WORKERLESS:
                yield _without_worker(queue, oldest)
        elif _waited(watch, oldest, serving, paused_until) >= limit:
            delayed.append(oldest)
    already_open = open_subjects(
        watch.using, Kind.QUEUED, [of_queue(oldest.crowd.queue) for oldest in delayed]
    )
    delayed = [oldest for oldest in delayed if of_queue(oldest.crowd.queue) not in already_open]
    full = [oldest.crowd for oldest in delayed if fleet.fullness(oldest.crowd.queue)]
    others = others_in(watch.using, full)
    for oldest in delayed:
        yield _waits(oldest, fleet, others.get(oldest.crowd, 0), watch.now)


def _waited(
    watch: Watch,
    oldest: _Oldest,
    serving: Collection[Process],
    paused_until: Mapping[str, datetime],
) -> timedelta:
    """Return how long a run could have started, and did not."""
    # What queued up without a worker, or during a pause, counts as waiting only since the end.
    served_since = min(one.started_at for one in serving)
    resumed_at = paused_until.get(oldest.crowd.queue, served_since)
    return watch.waited(oldest.ready_at, max(served_since, resumed_at))


def queue_limit() -> timedelta:
    """Return how long the oldest run of a queue may wait."""
    return timedelta(seconds=conf.get_settings().queue_alert_seconds)


def no_worker_in_words(queue: str) -> str:
    """Return that no worker serves a queue, and how to start one."""
    return gettext(
        "No worker serves the queue '%(queue)s', so its runs stay queued. Start "
        "'manage.py sisy_worker --queues %(queue)s'."
    ) % {"queue": queue}


def over(using: str, alerts: Collection[Alert], now: datetime) -> Iterator[Closing]:
    """Yield the alerts about queues that have a worker again, or whose runs start in time."""
    found, _ = _waiting(using, now, timedelta(0))
    _, workers = running(using, now)
    served = {queue for worker in workers for queue in worker.queues}
    paused = _paused(using)
    limit = queue_limit()
    idle = {one.queue for one in alerts if one.kind == Kind.NO_WORKER} - found.keys() - served
    needed = _due_next(using) & idle if idle else set()
    for alert in alerts:
        oldest = found.get(alert.queue)
        if alert.kind == Kind.NO_WORKER and alert.queue in needed - paused:
            # Its runs were cancelled, but the next ones will find no worker, either.
            continue
        if alert.queue in paused:
            yield alert, gettext("The queue is paused.")
        elif oldest is None:
            yield alert, gettext("No run in the queue is waiting for a worker.")
        elif alert.kind == Kind.NO_WORKER and alert.queue in served:
            yield alert, gettext("A worker serves the queue.")
        elif alert.kind == Kind.QUEUED and now - oldest.ready_at < limit:
            yield alert, gettext("Runs in the queue start in time again.")


def _due_next(using: str) -> set[str]:
    """Return the queues of the tasks that are due next, which workers must serve."""
    first = Task.objects.using(using).active().native().order_by("next_run")
    return set(first.values_list("queue", flat=True)[:MAX_TASKS_READ])


def _waiting(
    using: str, now: datetime, at_least: timedelta
) -> tuple[dict[str, _Oldest], set[str]]:
    """Return the oldest run of each queue that is not paused, if it has waited for that long.

    The second value is the set of paused queues. It is empty if no run has waited for that long.
    """
    levels = [
        level
        for queue in queues_with_runs(using)
        for level in first_of_each_priority(using, queue)
        if level.since <= now - at_least
    ]
    if not levels:
        return {}, set()
    paused = _paused(using)
    found: dict[str, _Oldest] = {}
    for level in levels:
        oldest = None if level.queue in paused else _needing_worker(using, level, now - at_least)
        if oldest and (level.queue not in found or oldest.ready_at < found[level.queue].ready_at):
            found[level.queue] = oldest
    return found, paused


def _paused(using: str) -> set[str]:
    return set(Queue.objects.using(using).paused().values_list("name", flat=True))


def _needing_worker(using: str, level: Level, before: datetime) -> _Oldest | None:
    """Return the first run of a level that does not wait for another run of its task."""
    entries = QueuedRun.objects.using(using).filter(
        engine="", queue=level.queue, priority=level.priority, ready_at__lte=before
    )
    first = list(
        entries.order_by("ready_at", "run_id").values_list("run_id", "task_id", "ready_at")[
            :MAX_FIRST_READ
        ]
    )
    tasks = [task for _, task, _ in first]
    running = RunningRun.objects.using(using).filter(task_id__in=tasks)
    busy = set(running.order_by().values_list("task_id", flat=True))
    return next(
        (
            _Oldest(run, at, Crowd.at(level.queue, level.priority, at))
            for run, task, at in first
            if task not in busy
        ),
        None,
    )


def _without_worker(queue: str, oldest: _Oldest) -> Problem:
    return Problem(
        kind=Kind.NO_WORKER,
        subject=of_queue(queue),
        queue=queue,
        since=oldest.ready_at,
        why=no_worker_in_words(queue),
        run=oldest.run,
        evidence=oldest.run,
    )


def _waits(oldest: _Oldest, fleet: Fleet, others: int, now: datetime) -> Problem:
    """Return the problem of a queue whose oldest run, and others with it, wait too long."""
    queue = oldest.crowd.queue
    words = gettext("The oldest run in the queue '%(queue)s' has been queued for %(time)s") % {
        "queue": queue,
        "time": rounded_text(now - oldest.ready_at),
    }
    crowd = f". {crowd_in_words(others)}" if others else ""
    cause = fleet.hindrance(queue, timezone.get_default_timezone()) or fleet.fullness(queue)
    return Problem(
        kind=Kind.QUEUED,
        subject=of_queue(queue),
        queue=queue,
        since=oldest.ready_at,
        why=with_cause(f"{words}{crowd}" if cause else words, cause),
        cause=cause,
        fix=advice_for(others),
        run=oldest.run,
        evidence=oldest.run,
    )
