"""What happens at midnight, when thirty invoices are due and the worker has four slots.

A real site would find runs that wait for a slot, and open alerts. The runs of the history have
ended already when they are stored, so they are shown to a judge as they were.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from operator import attrgetter

from sisy.models import Process, QueuedRun, Run, RunningRun

MINUTE = timedelta(minutes=1)


def let_invoices_wait(runs: Iterable[Run], slots: int) -> None:
    """Start the invoices of each night when a slot becomes free."""
    for night in nights_of(runs):
        free_at = [timedelta(0)] * slots
        for run in night:
            took = (run.finished_at - run.started_at) * 5  # all at once, each takes longer
            slot = free_at.index(min(free_at))
            run.started_at += free_at[slot]
            run.finished_at = run.started_at + took
            free_at[slot] += took


def nights_of(runs: Iterable[Run]) -> list[list[Run]]:
    """Return the invoices that are due together, night by night."""
    nights: dict[datetime, list[Run]] = {}
    for run in sorted(runs, key=attrgetter("due_at")):
        if run.label.startswith("invoices") and run.started_at is not None:
            nights.setdefault(run.due_at, []).append(run)
    return list(nights.values())


def watches(runs: Iterable[Run]) -> Iterator[list[datetime]]:
    """Yield when a heartbeat judged in each night, from midnight until all alerts were closed."""
    for night in nights_of(runs):
        due, last = night[0].due_at, max(run.started_at for run in night)
        late = due + timedelta(minutes=5, seconds=20)
        rounds = range((last - late) // MINUTE + 3)
        yield [due, *(late + n * MINUTE for n in rounds)]


@contextmanager
def as_it_was(runs: Iterable[Run], moment: datetime) -> Iterator[None]:
    """Let runs be queued or running, and their workers be alive, as they were at a moment."""
    begun = [run for run in runs if run.started_at and run.finished_at > moment]
    queued = [entry_of_queued(run) for run in begun if run.started_at > moment]
    running = [entry_of_running(run) for run in begun if run.started_at <= moment]
    workers = Process.all_objects.filter(started_at__lte=moment, ended_at__gt=moment)
    ends = dict(workers.values_list("pk", "ended_at"))
    Process.all_objects.filter(pk__in=ends).update(ended_at=None, lease_until=moment + MINUTE)
    QueuedRun.objects.bulk_create(queued)
    RunningRun.objects.bulk_create(running)
    try:
        yield
    finally:
        for model, entries in ((QueuedRun, queued), (RunningRun, running)):
            model.objects.filter(run_id__in=[entry.run_id for entry in entries]).delete()
        for pk, end in ends.items():
            Process.all_objects.filter(pk=pk).update(ended_at=end, lease_until=end)


def entry_of_queued(run: Run) -> QueuedRun:
    return QueuedRun(
        task_id=run.task_id,
        run_id=run.pk,
        queue=run.queue,
        priority=run.priority,
        ready_at=run.ready_at,
        is_delayed=False,
        is_ahead=False,
    )


def entry_of_running(run: Run) -> RunningRun:
    return RunningRun(task_id=run.task_id, run_id=run.pk, process_id=run.process_id)
