"""The backlog of a queue without a worker, and the worker that served it last."""

from collections import Counter
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.alerting.heartbeat_gaps import end_of
from sisy.models import Process, Role, Task
from sisy.records.small_tables import QueuedRun
from sisy.reports import formatting
from sisy.reports.ended import MAX_WORKERS_READ, last_workers
from sisy.runtime.durations import in_zone

MAX_RUNS_COUNTED = 1000
MAX_TASKS_NAMED = 3
RESTART = timedelta(minutes=5)  # between the end of a worker and the start of its successor


def backlog_in_words(using: str, queue: str, now: datetime) -> str:
    """Return the number of queued runs with their tasks, and the last worker of the queue.

    Leaves out what is unknown.
    """
    return " ".join(filter(None, (_held_up(using, queue, now), _served_last(using, queue))))


def _held_up(using: str, queue: str, now: datetime) -> str:
    ready = QueuedRun.objects.using(using).filter(engine="", queue=queue, ready_at__lte=now)
    found = list(ready.order_by().values_list("task_id", flat=True)[: MAX_RUNS_COUNTED + 1])
    if not found:
        return ""
    number = min(len(found), MAX_RUNS_COUNTED)
    counted = f"{number:,}+" if len(found) > number else f"{number:,}"
    first = [key for key, _ in Counter(found).most_common() if key is not None]
    tasks = Task.objects.using(using).only("label").in_bulk(first[:MAX_TASKS_NAMED])
    labels = [f"'{tasks[key].label}'" for key in first if key in tasks]
    if not labels:
        words = ngettext("%(n)s run is queued.", "%(n)s runs are queued.", len(found))
        return words % {"n": counted}
    words = ngettext(
        "%(n)s run of %(labels)s is queued.", "%(n)s runs of %(labels)s are queued.", len(found)
    )
    named = formatting.first_of(labels, len(set(found)), most=MAX_TASKS_NAMED)
    return words % {"n": counted, "labels": named}


def _served_last(using: str, queue: str) -> str:
    last = last_workers(using, [queue]).get(queue)
    if last is None:
        return ""
    ended_at, zone = end_of(last), timezone.get_current_timezone()
    words = gettext("The last worker that served it, %(worker)s, ended at %(moment)s.") % {
        "worker": _name_of(last),
        "moment": in_zone(ended_at, zone),
    }
    successor = _successor(using, last, ended_at)
    if successor is None:
        return words
    after = gettext("%(worker)s, which started at %(moment)s, serves only %(queues)s.") % {
        "worker": _name_of(successor),
        "moment": in_zone(successor.started_at, zone),
        "queues": formatting.first_of([f"'{name}'" for name in successor.queues]),
    }
    return f"{words} {after}"


def _successor(using: str, last: Process, ended_at: datetime) -> Process | None:
    """Return the first worker that started when another one ended, as in a deploy, if one did."""
    # By key, because no index contains the start. The successor is among the next ones.
    later = Process.all_objects.using(using).filter(pk__gt=last.pk).order_by("pk")
    window = ended_at - RESTART, ended_at + RESTART
    return next(
        (
            one
            for one in later[:MAX_WORKERS_READ]
            if one.role == Role.WORKER and window[0] <= one.started_at <= window[1]
        ),
        None,
    )


def _name_of(worker: Process) -> str:
    return f"{worker.pid}@{worker.host}"
