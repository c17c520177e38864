"""The alerts about heartbeats, workers and queues."""

from collections.abc import Collection, Iterator
from datetime import datetime

from django.db.models import Count, Exists, Min, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.alerting.backlog import no_worker_in_words
from sisy.alerting.capacity import Fleet, pause_in_words, problem_in_words
from sisy.models import Process, Task
from sisy.records.small_tables import QueuedRun, RunningRun
from sisy.reports.alerts.alert import Alert, Kind, Severity, Thresholds
from sisy.reports.errors import first_of
from sisy.reports.queue_names import queues_of

MAX_QUEUES_NAMED = 10  # in the advice to start a worker


def needed_queues(using: str) -> list[str]:
    """Return the queues of all active tasks whose runs Sisy's own workers execute."""
    return queues_of(Task.objects.using(using).active().native())


def heartbeat_alerts(fleet: Fleet) -> Iterator[Alert]:
    """Yield an alert if no heartbeat is running."""
    if not fleet.heartbeats:
        why = gettext(
            "No heartbeat is running, so no new runs are planned. Start 'manage.py sisy' or "
            "'manage.py sisy_heartbeat'."
        )
        yield Alert(kind=Kind.NO_HEARTBEAT, severity=Severity.CRITICAL, why=why)


def no_worker_alerts(fleet: Fleet, needed: Collection[str]) -> Iterator[Alert]:
    """Yield an alert if no worker is running, the cause of those about each queue.

    A single queue needs no other alert than its own.

    Args:
        needed: the queues that need a worker. Paused queues need none.
    """
    queues = sorted(set(needed) - fleet.paused.keys())
    if fleet.workers or len(queues) < 2:
        return
    names = ",".join(queues) if len(queues) <= MAX_QUEUES_NAMED else "NAMES"
    why = gettext(
        "No worker is running, so all runs stay queued. Start 'manage.py sisy_worker --queues "
        "%(names)s'."
    ) % {"names": names}
    yield Alert(kind=Kind.NO_WORKER, severity=Severity.CRITICAL, why=why)


def worker_alerts(
    fleet: Fleet, needed: Collection[str], now: datetime, thresholds: Thresholds
) -> Iterator[Alert]:
    """Yield the queues without a worker, and the workers that cannot start runs.

    Args:
        needed: the queues that need a worker. Paused queues need none.
    """
    for queue in sorted(set(needed) - fleet.paused.keys()):
        if not fleet.serving(queue):
            why = no_worker_in_words(queue)
            yield Alert(kind=Kind.NO_WORKER, severity=Severity.CRITICAL, why=why, queues=(queue,))
    for worker in fleet.workers:
        if worker.problem and (queues := _hindered(worker, fleet, now, thresholds)):
            yield Alert(
                kind=Kind.WORKER_PROBLEM,
                severity=Severity.ERROR,
                why=problem_in_words(worker, timezone.get_current_timezone()),
                since=worker.problem_since,
                threshold=thresholds.problem,
                queues=queues,
            )


def _hindered(
    worker: Process, fleet: Fleet, now: datetime, thresholds: Thresholds
) -> tuple[str, ...]:
    """Return the queues that a worker's problem affects.

    A short problem affects only queues that no other worker serves; a lasting one affects all.
    """
    if worker.problem_since is None or now - worker.problem_since >= thresholds.problem:
        return tuple(worker.queues)
    return tuple(
        queue
        for queue in worker.queues
        if all(another.problem for another in fleet.serving(queue))
    )


def paused_alerts(using: str, now: datetime, fleet: Fleet) -> Iterator[Alert]:
    """Yield each paused queue: who paused it, when and why, and how many runs are queued."""
    if not fleet.paused:
        return
    queued = queued_in(using, fleet.paused, now).values_list("queue")
    counted = dict(queued.annotate(Count("run_id")))
    for name, queue in fleet.paused.items():
        words = pause_in_words(queue, timezone.get_current_timezone())
        number = counted.get(name, 0)
        runs = ngettext("%d run is queued", "%d runs are queued", number) % number
        yield Alert(
            kind=Kind.QUEUE_PAUSED,
            severity=Severity.INFO,
            why=f"{words[:1].upper()}{words[1:]}: {runs}.",
            queues=(name,),
        )


def queued_alerts(
    using: str,
    now: datetime,
    fleet: Fleet,
    thresholds: Thresholds,
    only: Collection[str] | None = None,
) -> Iterator[Alert]:
    """Yield the queues whose runs no worker claims, or no engine starts, for too long.

    Args:
        only: the queues to look at; None means all.
    """
    needing = needing_worker(using, fleet, only)
    late = needing.filter(ready_at__lt=now - thresholds.queued).order_by()
    by_queue = late.values("engine", "queue").annotate(
        number=Count("run_id"), oldest=Min("ready_at")
    )
    rows, more = first_of(by_queue.order_by("engine", "queue"))
    zone = timezone.get_current_timezone()
    for row in rows:
        queue = row["queue"]
        cause = "" if row["engine"] else fleet.hindrance(queue, zone) or fleet.fullness(queue)
        yield Alert(
            kind=Kind.QUEUED,
            severity=Severity.WARNING,
            why=_in_words(row["number"], row["engine"], queue, cause),
            cause=cause,
            since=row["oldest"],
            threshold=thresholds.queued,
            queues=(queue,),
        )
    if more:
        words = (
            ngettext(
                "Runs in %d more queue have not started.",
                "Runs in %d more queues have not started.",
                more,
            )
            % more
        )
        yield Alert(kind=Kind.QUEUED, severity=Severity.WARNING, why=words, number=more)


def queued_in(using: str, queues: Collection[str], now: datetime) -> QuerySet[QueuedRun]:
    """Return the entries of the runs in some queues that are ready."""
    queued = QueuedRun.objects.using(using).filter(queue__in=queues, ready_at__lte=now)
    return queued.order_by()


def needing_worker(
    using: str, fleet: Fleet, only: Collection[str] | None = None
) -> QuerySet[QueuedRun]:
    """Return the entries of queued runs that only need a worker to start once they are ready.

    Runs of paused queues, and runs that must wait for another run of their task, are left out.

    Args:
        only: the queues to look at; None means all.
    """
    others = RunningRun.objects.filter(task_id=OuterRef("task_id"))
    queued = QueuedRun.objects.using(using).exclude(queue__in=fleet.paused)
    if only is not None:
        queued = queued.filter(queue__in=only)
    return queued.filter(~Exists(others))


def _in_words(number: int, engine: str, queue: str, cause: str) -> str:
    if engine:
        words = ngettext(
            "Engine '%(engine)s': %(number)d run has not started.",
            "Engine '%(engine)s': %(number)d runs have not started.",
            number,
        )
        return words % {"engine": engine, "number": number}
    words = ngettext(
        "Queue '%(queue)s': %(number)d run is queued",
        "Queue '%(queue)s': %(number)d runs are queued",
        number,
    ) % {"queue": queue, "number": number}
    return (
        gettext("%(runs)s, because %(cause)s.") % {"runs": words, "cause": cause}
        if cause
        else f"{words}."
    )
