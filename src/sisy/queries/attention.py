"""What somebody should look at: what fails, is late, was missed, or cannot run at all."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter

from django.utils.translation import gettext, ngettext

from sisy.models import Run, RunState, Task, TaskState
from sisy.models.choices import LIVE_STATES
from sisy.models.timing import PUNCTUAL
from sisy.queries.latest import newest_runs
from sisy.queries.processes import missing_processes, paused_queues

LATELY = timedelta(days=1)
READ = 500  # rows of each kind
SHOWN = 20  # worries of each kind
PATIENCE = timedelta(seconds=60)  # for which a run may wait for a worker
FAILURES = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worry:
    """One thing that is not as it should be."""

    kind: str
    what: str
    """The label of the task, or the queue, or nothing in particular."""
    why: str
    since: datetime | None = None
    task: int | None = None
    run: int | None = None


def attention(using: str, now: datetime) -> list[Worry]:
    """Return what is not as it should be, the gravest first."""
    kinds = (_nobody_up(), _broken(using), _failing(using, now), _late(using, now))
    return [worry for kind in (*kinds, _stuck(using, now), _missed(using, now)) for worry in kind]


def _nobody_up() -> Iterator[Worry]:
    for sentence in (*missing_processes(), *paused_queues()):
        yield Worry(kind="site", what="", why=sentence)


def _broken(using: str) -> Iterator[Worry]:
    for task in Task.objects.using(using).filter(state=TaskState.BROKEN)[:SHOWN]:
        yield Worry(kind=TaskState.BROKEN, what=task.label, why=task.state_reason, task=task.pk)


def _failing(using: str, now: datetime) -> Iterator[Worry]:
    """Yield the tasks whose newest run that is over failed; one that has recovered is well."""
    failures = [
        run
        for state in FAILURES
        for run in Run.objects.using(using)
        .filter(state=state, finished_at__gte=now - LATELY)
        .exclude(task=None)
        .order_by("-pk")
        .values_list("pk", "task_id")[:READ]
    ]
    counted: Counter[int | None] = Counter(task for _, task in failures)
    latest = sorted({task: pk for pk, task in sorted(failures)}.items(), key=itemgetter(1))
    over: dict[int | None, Run] = {}
    for run in newest_runs(using, [task for task, _ in latest[-SHOWN:]], 3).exclude(
        state__in=LIVE_STATES
    ):
        over.setdefault(run.task_id, run)
    for task, run in over.items():
        if run.state in FAILURES:
            number = counted[task]
            often = ngettext("failed once in a day", "failed %d times in a day", number)
            words = often % number if "%d" in often else often
            why = f"{words}: {run.reason}" if run.reason else words
            yield Worry(
                kind=run.state,
                what=run.label,
                why=why,
                since=run.finished_at,
                task=task,
                run=run.pk,
            )


def _late(using: str, now: datetime) -> Iterator[Worry]:
    for task in Task.objects.using(using).due(now - PUNCTUAL)[:SHOWN]:
        why = gettext("is due, and no heartbeat has planned it")
        yield Worry(kind="late", what=task.label, why=why, since=task.next_run, task=task.pk)


def _stuck(using: str, now: datetime) -> Iterator[Worry]:
    late = Run.objects.using(using).waiting().filter(ready_at__lt=now - PATIENCE)
    waiting: dict[tuple[str, str], list[Run]] = {}
    for run in late.order_by("ready_at").only("queue", "engine", "ready_at")[:READ]:
        waiting.setdefault((run.engine, run.queue), []).append(run)
    for (engine, queue), runs in waiting.items():
        number = f"{len(runs)}+" if len(runs) == READ else str(len(runs))
        why = gettext("%s runs wait for a worker") % number
        if engine:
            why = gettext("%s runs were handed over, and are not begun") % number
        yield Worry(kind="late", what=engine or queue, why=why, since=runs[0].ready_at)


def _missed(using: str, now: datetime) -> Iterator[Worry]:
    rows = Run.objects.using(using).filter(state=RunState.MISSED, finished_at__gte=now - LATELY)
    by_task: dict[int | None, list[Run]] = {}
    for run in rows.order_by("-pk").only("task", "label", "reason", "count", "finished_at")[:READ]:
        by_task.setdefault(run.task_id, []).append(run)
    for task, runs in list(by_task.items())[:SHOWN]:
        number = sum(run.count for run in runs)
        words = ngettext("%d occurrence missed", "%d occurrences missed", number) % number
        yield Worry(
            kind=RunState.MISSED,
            what=runs[0].label,
            why=f"{words}: {runs[0].reason}",
            since=runs[0].finished_at,
            task=task,
            run=runs[0].pk,
        )
