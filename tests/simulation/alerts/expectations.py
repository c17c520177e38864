"""Scripts whose runs are late, slow, stalled or silent, or whose queues do not go on."""

from datetime import timedelta
from time import monotonic

from sisy.alerting.problem import of_queue, of_task
from sisy.models import Queue, Run, RunState
from sisy.records.problems import Kind
from sisy.runtime.journal import Report
from sisy.runtime.progress import Progress
from sisy.store.run_output import write_while_running
from tests.simulation.alerts.fleet import WELL, Behaviour
from tests.simulation.alerts.site import Script, Site
from tests.support.moments import MINUTE, SECOND

HANGS = Behaviour(seconds=None)
CANCELLED = Behaviour(state=RunState.CANCELLED)
WORKERLESS = MINUTE


def late(site: Site) -> Script:
    """Keep the only slot of a queue busy for longer than a run of another task may wait."""
    task = site.task("late", queue="narrow", start_within=2 * MINUTE)
    blocker = site.task("narrow blocker", queue="narrow")
    site.fleet.join("narrow")
    while True:
        yield from site.calm()
        yield from _occupy(site, blocker.label, blocker.run_now)
        task.run_now()
        yield site.later(1.5)
        if site.world.random.random() < 0.3:  # it starts just in time: no problem
            yield from _set_free(site, blocker.label, task.label)
            continue
        yield site.later(0.5)
        problem = site.begin("late", Kind.LATE, of_task(task.pk))
        yield site.later(1.2, 2)
        yield from _set_free(site, blocker.label, task.label)
        # It has started before it has ended.
        site.end(problem)


def delayed_queue(site: Site) -> Script:
    """Keep the only slot of a queue busy for longer than any run may wait."""
    task = site.task("delayed", queue="crowded")
    blocker = site.task("crowded blocker", queue="crowded")
    site.fleet.join("crowded")
    while True:
        yield from site.calm()
        yield from _occupy(site, blocker.label, blocker.run_now)
        task.run_now()
        yield site.later(5)
        problem = site.begin("busy worker", Kind.QUEUED, of_queue("crowded"))
        yield site.later(1.2, 3)
        yield from _set_free(site, blocker.label, task.label)
        site.end(problem)


def _occupy(site: Site, label: str, run_now) -> Script:
    site.fleet.behaviours[label] = HANGS
    run_now()
    yield lambda: site.fleet.running(label)


def _set_free(site: Site, blocker: str, waiting: str) -> Script:
    is_done = site.ends(waiting, RunState.SUCCEEDED)
    site.fleet.end(blocker, WELL)
    yield is_done


def queue_without_worker(site: Site) -> Script:
    """Stop the only worker of a queue."""
    task = site.task("unserved", queue="remote")
    site.fleet.join("remote")
    while True:
        yield from site.calm()
        site.fleet.leave("remote")
        yield site.later(3)  # no run is queued: no problem
        task.run_now()
        yield site.world.now + WORKERLESS
        problem = site.begin("no worker", Kind.NO_WORKER, of_queue("remote"))
        yield site.later(1.2, 3)
        site.fleet.join("remote")
        site.end(problem)
        yield site.ends("unserved", RunState.SUCCEEDED)


def paused_queue(site: Site) -> Script:
    """Pause a queue for long: no problem."""
    task = site.task("paused", queue="paused")
    site.fleet.join("paused")
    while True:
        yield from site.calm()
        Queue.objects.pause("paused", by="ann")
        task.run_now()
        yield site.later(7, 9)
        Queue.objects.resume("paused")
        yield site.ends("paused", RunState.SUCCEEDED)


def overrun(site: Site, cause: str, end: Behaviour) -> Script:
    """Let a run take too long, until it ends in a way."""
    task = site.task(cause, expected_duration=2 * MINUTE)
    while True:
        yield from site.calm()
        site.fleet.behaviours[cause] = Behaviour(seconds=100)  # no problem
        task.run_now()
        yield site.ends(cause, RunState.SUCCEEDED)
        site.fleet.behaviours[cause] = HANGS
        run = task.run_now()
        yield lambda: site.fleet.running(cause)
        yield Run.objects.get(pk=run.pk).started_at + task.expected_duration
        problem = site.begin(cause, Kind.SLOW, of_task(task.pk))
        yield site.later(1.2, 6)
        if end is CANCELLED:
            run.cancel(by_force=True)
        site.fleet.end(cause, end)
        yield site.ends(cause, end.state)
        site.end(problem)


def stalled(site: Site) -> Script:
    """Let a running run report no progress for a while."""
    task = site.task("stalled", stalled_after=2 * MINUTE)
    while True:
        yield from site.calm()
        site.fleet.behaviours["stalled"] = HANGS
        task.run_now()
        yield lambda: site.fleet.running("stalled")
        [run] = site.fleet.running("stalled")
        for done in range(3):
            _progress(site, run, done)
            yield site.later(1.5)
        _progress(site, run, 4)
        yield site.world.now + task.stalled_after
        problem = site.begin("no progress", Kind.STALLED, of_task(task.pk))
        yield site.later(1.2, 4)
        _progress(site, run, 5)
        site.end(problem)
        yield site.later(0.3)
        site.fleet.end("stalled", WELL)
        yield site.ends("stalled", RunState.SUCCEEDED)


def _progress(site: Site, run: Run, done: int) -> None:
    report = Report(progress=Progress(done, 10, "", monotonic()))
    write_while_running("default", [(run, report)], site.world.now)


def silent(site: Site) -> Script:
    """Cancel the runs of a task that must succeed regularly."""
    every = timedelta(minutes=10)
    task = site.task("silent", success_every=every)
    yield from _succeed(site, task)
    while True:
        # Succeeds often enough for a while: no problem.
        for _ in range(site.world.random.randint(2, 4)):
            yield site.later(6, 8)
            yield from _succeed(site, task)
        if site.is_closed:
            continue
        succeeded_at = site.fleet.ended["silent"][-1][1]
        site.fleet.behaviours["silent"] = CANCELLED
        while succeeded_at + every > site.world.now + MINUTE:
            task.run_now()
            yield min(site.later(2), succeeded_at + every)
        yield succeeded_at + every + SECOND
        problem = site.begin("silent", Kind.SILENT, of_task(task.pk))
        yield site.later(1.2, 4)
        yield from _succeed(site, task)
        site.end(problem)


def _succeed(site: Site, task) -> Script:
    site.fleet.behaviours["silent"] = WELL
    is_done = site.ends("silent", RunState.SUCCEEDED)
    task.run_now()
    yield is_done


def all_scripts(site: Site) -> list[Script]:
    """Return all scripts of this module."""
    return [
        late(site),
        delayed_queue(site),
        queue_without_worker(site),
        paused_queue(site),
        overrun(site, "too slow", WELL),
        overrun(site, "hung, then cancelled", CANCELLED),
        stalled(site),
        silent(site),
    ]
