"""Every verb that asks or changes the database, with a site on which it finds something to do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sisy.models import Attempt, Process, Queue, Role, Run, RunState, Task
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.steps import finish
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled


@dataclass
class Site:
    """A task with a run in each of three states, and a worker."""

    task: Task
    paused: Task
    declared: Task
    over: Run
    running: Run
    queued: Run
    orphan: Run
    worker: Process

    @classmethod
    def build(cls) -> "Site":
        worker = Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR)
        task = scheduled(label="sweep", overlap="allow", timeout=MINUTE)
        orphan = task.run_now()
        [over] = claim(worker, ["default"], 1, NOON)
        finish(over, NOON, RunState.FAILED, error="Traceback", reason="KeyError")
        over.refresh_from_db()
        Attempt.of(over, state=RunState.FAILED, finished_at=NOON).save()
        gone = scheduled(label="gone")
        orphan = gone.run_now()
        gone.delete()
        orphan.refresh_from_db()
        task.run_now()
        [running] = claim(worker, ["default"], 1, NOON)
        paused = scheduled(label="paused")
        paused.pause("holidays")
        declared = scheduled(label="declared", queue="mail")
        declared.declaration = {"queue": "default"}
        Task.objects.filter(pk=declared.pk).update(declaration=declared.declaration)
        Queue.objects.pause("closed")
        return cls(
            task=task,
            paused=paused,
            declared=declared,
            over=over,
            running=Run.objects.get(pk=running.pk),
            queued=task.run_now(),
            orphan=orphan,
            worker=worker,
        )

    def read_from(self, alias: str) -> None:
        """Let all of it have been read from another database."""
        for row in vars(self).values():
            row._state.db = alias


@dataclass(frozen=True)
class Verb:
    """A verb, whose it is, and what it takes."""

    name: str
    owner: Callable[[Site], Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def do(self, site: Site) -> Any:
        return getattr(self.owner(site), self.name.rpartition(".")[2])(*self.args, **self.kwargs)


def runs(site: Site) -> Any:
    return Run.objects.filter(task=site.task.pk)


VERBS = [
    Verb("Task.run_once", lambda _: Task, (jobs.noop,)),
    Verb("Task.bulk_run_once", lambda _: Task, (jobs.noop, [{"n": 1}, {"n": 2}])),
    Verb("Task.run_iterations", lambda _: Task, (jobs.noop,), {"iterations": 3}),
    Verb("Task.run_now", lambda site: site.task),
    Verb("Task.backfill", lambda site: site.task, (NOON - HOUR, NOON)),
    Verb("Task.to_backfill", lambda site: site.task, (NOON - HOUR, NOON)),
    Verb("Task.pause", lambda site: site.task, ("rain",)),
    Verb("Task.resume", lambda site: site.paused),
    Verb("Task.cancel_queued", lambda site: site.task),
    Verb("Task.cancel_runs", lambda site: site.task, (), {"by_force": True}),
    Verb("Task.counts", lambda site: site.task),
    Verb("Task.back_to_code", lambda site: site.declared),
    Verb("Run.cancel", lambda site: site.queued, ("rain",)),
    Verb("Run.cancel", lambda site: site.running, ("rain",)),
    Verb("Run.retry", lambda site: site.over),
    Verb("Run.retry", lambda site: site.orphan),
    Verb("RunQuerySet.cancel", runs, ("rain", NOON), {"by_force": True}),
    Verb("TaskQuerySet.delete_ended", lambda _: Task.objects.all()),
    Verb("QueueQuerySet.pause", lambda _: Queue.objects, ("mail", "rain")),
    Verb("QueueQuerySet.resume", lambda _: Queue.objects, ("closed",)),
    Verb(
        "Process.join",
        lambda _: Process,
        (Role.WORKER,),
        {"using": "default", "now": NOON, "lease": HOUR},
    ),
    Verb("Process.request_drain", lambda site: site.worker, (NOON,)),
    Verb("Process.has_silent_host", lambda site: site.worker, (NOON, HOUR)),
    Verb("Process.renew", lambda site: site.worker, (NOON, HOUR)),
    Verb("Process.note_problem", lambda site: site.worker, ("No memory.", NOON)),
    Verb("Process.leave", lambda site: site.worker),
]
"""Those of Sisy's own; beside them there are those of Django's, such as ``save``."""
