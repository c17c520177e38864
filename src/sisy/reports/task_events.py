"""The moments after which a task may have begun to fail.

These are known:

- the newest change of the task's settings by a person or in code, and the newest by a deploy that
  changed its declaration
- the start of the version of the project that serves the task's queue now, if ``SISY_VERSION``
  names it; else the first start among the workers that serve the queue now
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from sisy import conf
from sisy.models import Process, Role, Task, TaskChange
from sisy.models.process import DEFAULT_VERSION
from sisy.records.choices import ChangedBy
from sisy.records.task_change import MAX_KEPT
from sisy.records.task_fields import TASK_FIELDS
from sisy.reports import formatting
from sisy.reports.field_text import name_of

MAX_FIELDS_NAMED = 3
MAX_PROCESSES_READ = 500  # newest processes, including those that have ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A moment after which a task may have begun to fail.

    Attributes:
        words: the event with its moment.
    """

    at: datetime
    words: str


def events_of(using: str, tasks: Sequence[Task], now: datetime) -> dict[int, list[Event]]:
    """Return the newest changes of tasks and the starts of their workers, by the tasks' keys."""
    found = defaultdict(list, _changes(using, [task.pk for task in tasks]))
    native = conf.get_settings().native_engines
    served = [task for task in tasks if task.engine in native]
    if served:
        starts = _starts(using, {task.queue for task in served}, now)
        for task in served:
            found[task.pk] += starts.get(task.queue, [])
    return found


def _changes(using: str, keys: Sequence[int]) -> dict[int, list[Event]]:
    of_deploy = gettext("First seen after a deploy on %s that also changed settings")
    of_others = gettext("First seen after the settings were changed on %s")
    changes = TaskChange.objects.using(using).filter(task_id__in=keys).order_by("-pk")
    newest: dict[tuple[int, str], TaskChange] = {}
    for change in changes[: MAX_KEPT * len(keys)]:
        words = of_deploy if change.kind == ChangedBy.DECLARATION else of_others
        # A person who looks into an error may edit the task. That edit hides no deploy.
        if "state" not in change.fields:
            newest.setdefault((change.task_id, words), change)
    found = defaultdict(list)
    for (key, words), change in newest.items():
        said = words % formatting.short(change.changed_at)
        found[key].append(Event(at=change.changed_at, words=f"{said}{_fields_of(change)}"))
    return found


def _fields_of(change: TaskChange) -> str:
    """Return the names of the fields that were changed: those who read it may rule it out."""
    named = [name_of(column) for column in TASK_FIELDS if column in change.fields]
    shown = [*named[:MAX_FIELDS_NAMED], *(["…"] if named[MAX_FIELDS_NAMED:] else [])]
    return f" ({', '.join(shown)})" if shown else ""


def _starts(using: str, queues: set[str], now: datetime) -> dict[str, list[Event]]:
    """Return the first start of the version that serves each queue now, or of its workers."""
    alive = Process.objects.using(using).alive(now).filter(role=Role.WORKER)
    workers = list(alive.order_by("started_at"))
    serving = {queue: [one for one in workers if queue in one.queues] for queue in queues}
    has_versions = any(one.version not in ("", DEFAULT_VERSION) for one in workers)
    newest = Process.all_objects.using(using).order_by("-pk")[:MAX_PROCESSES_READ]
    known = list(newest) if has_versions else []
    return {queue: list(_start(some, known)) for queue, some in serving.items()}


def _start(serving: Sequence[Process], newest: Sequence[Process]) -> Iterator[Event]:
    if not serving:
        return
    version = serving[-1].version
    if version and version != DEFAULT_VERSION:
        # Engines register a process for each run, so the workers may be older than the newest.
        known = [*serving, *newest]
        first = min(process.started_at for process in known if process.version == version)
        words = gettext("First seen after version %(version)s started on %(moment)s")
        named = {"version": version, "moment": formatting.short(first)}
        yield Event(at=first, words=words % named)
    else:
        first = serving[0].started_at
        words = gettext("First seen after the workers started on %s")
        yield Event(at=first, words=words % formatting.short(first))
