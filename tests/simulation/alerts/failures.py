"""Scripts whose runs fail, are lost, or cannot be planned or called."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sisy.alerting.flapping import QUIET
from sisy.alerting.problem import of_call, of_task
from sisy.models import RunState, Task
from sisy.records.problems import Kind
from tests.app import django_jobs, jobs
from tests.simulation.alerts.fleet import FAILS, WELL, Behaviour
from tests.simulation.alerts.site import Script, Site
from tests.support.moments import MINUTE

FAILED, SUCCEEDED = RunState.FAILED, RunState.SUCCEEDED
LATE_END = {"reason": "It was still running after 60 s."}
TIMES_OUT = Behaviour(state=RunState.TIMED_OUT, columns=LATE_END)
UNKNOWN = replace(FAILS, columns={"reason": "ImportError: no module", "target_is_broken": True})


def task_that(site: Site, cause: str, how: Behaviour, kind: Kind, times: int = 1) -> Script:
    """Let the runs of a task end badly for a few minutes, in each minute."""
    task = site.task(cause, "* * * * *", alert_after=times)
    while True:
        yield from site.calm()
        if times > 1:  # less often than people want to know of: no problem
            site.fleet.behaviours[cause] = how
            yield site.ends(cause, how.state, times - 1)
            site.fleet.behaviours[cause] = WELL
            yield site.ends(cause, SUCCEEDED)
            yield from site.calm()
        site.fleet.behaviours[cause] = how
        yield site.ends(cause, how.state, times)
        problem = site.begin(cause, kind, of_task(task.pk))
        yield site.later(1.5, 6)
        site.fleet.behaviours[cause] = WELL
        yield site.ends(cause, SUCCEEDED)
        site.end(problem)


def function_that_fails(site: Site, cause: str, path: str, call: Callable[[], Any]) -> Script:
    """Let a function fail that is called without a task of its own."""
    label = path if cause.startswith("one-shot") else path.rpartition(".")[2]
    while True:
        yield from site.calm()
        site.fleet.behaviours[path] = site.fleet.behaviours[label] = FAILS
        call()
        yield lambda: _ended(site, path, label) == FAILED
        problem = site.begin(cause, Kind.FAILING, of_call(path))
        yield site.later(1.5, 4)
        call()
        yield site.later(1, 3)
        site.fleet.behaviours[path] = site.fleet.behaviours[label] = WELL
        call()
        yield lambda: _ended(site, path, label) == SUCCEEDED
        site.end(problem)
        yield from site.work(call, path, label)


def _ended(site: Site, *labels: str) -> RunState | None:
    """Return how the latest run with one of these labels has ended."""
    ended = [one for label in labels for one in site.fleet.ended[label][-1:]]
    return max(ended, key=lambda one: one[1])[0] if ended else None


def one_shot(site: Site) -> Script:
    """Let a function fail that ``run_once()`` calls."""
    call = lambda: Task.run_once(jobs.returns)  # noqa: E731
    return function_that_fails(site, "one-shot", "tests.app.jobs.returns", call)


def job_of_django(site: Site) -> Script:
    """Let a function fail that was enqueued by ``django.tasks``."""
    call = lambda: django_jobs.add.enqueue(1)  # noqa: E731
    return function_that_fails(site, "django.tasks", "tests.app.django_jobs.add", call)


def task_that_recurs(site: Site) -> Script:
    """Let a task fail again soon after it has recovered: people are told of it once."""
    cause = "recurring"
    task = site.task(cause)
    while True:
        yield from site.calm()
        yield from _run_as(site, task, FAILS)
        problem = site.begin(cause, Kind.FAILING, of_task(task.pk), recurs=True)
        yield site.later(1.2, 2)
        yield from _run_as(site, task, WELL)
        site.end(problem)
        yield site.later(1.2, 2)
        yield from _run_as(site, task, FAILS)
        yield site.later(1.2, 2)
        yield from site.work(task.run_now, task.label)


def task_that_flaps(site: Site) -> Script:
    """Let a task fail and work for hours: people get one message about that."""
    cause = "flapping"
    task = site.task(cause)
    while True:
        for _ in range(2):  # each is a problem of its own, because nobody can know more yet
            yield from site.calm()
            yield from _run_as(site, task, FAILS)
            problem = site.begin("before it flaps", Kind.FAILING, of_task(task.pk))
            yield site.later(1.5, 4)
            yield from _run_as(site, task, WELL)
            site.end(problem)
        yield from site.calm()
        yield from _run_as(site, task, FAILS)
        problem = site.begin(cause, Kind.FAILING, of_task(task.pk))
        for _ in range(site.world.random.randint(3, 6)):
            for _ in range(site.world.random.randint(1, 8)):
                yield site.later(0.5, 15)
                yield from _run_as(site, task, WELL)
            yield site.later(0.5, 15)
            yield from _run_as(site, task, FAILS)
        yield site.later(QUIET / MINUTE)
        yield from site.work(task.run_now, task.label)
        site.end(problem)


def _run_as(site: Site, task: Task, how: Behaviour) -> Script:
    site.fleet.behaviours[task.label] = how
    is_done = site.ends(task.label, how.state)
    task.run_now()
    yield is_done


def many_tasks_that_fail(site: Site, number: int = 30) -> Script:
    """Let many tasks fail together: people get one message."""
    tasks = [site.task(f"storm {n}") for n in range(number)]
    while True:
        yield site.later(20)
        yield from site.calm()
        problems = []
        for how in (FAILS, WELL):
            conditions = [site.ends(task.label, how.state) for task in tasks]
            for task in tasks:
                site.fleet.behaviours[task.label] = how
                task.run_now()
            yield lambda conditions=conditions: all(is_met() for is_met in conditions)
            if how is FAILS:
                problems = [site.begin("storm", Kind.FAILING, of_task(t.pk)) for t in tasks]
                yield site.later(4, 6)
        for problem in problems:
            site.end(problem)
        for task in tasks:
            yield from site.work(task.run_now, task.label)


def lost(site: Site) -> Script:
    """Kill a worker whose run must not be repeated."""
    task = site.task("lost", queue="doomed", on_lost="fail")
    site.fleet.join("doomed")
    while True:
        yield from site.calm()
        site.fleet.behaviours["lost"] = Behaviour(seconds=None)
        run = task.run_now()
        yield lambda: site.fleet.running("lost")
        site.fleet.kill("doomed")
        # The rescue notes it, once the lease has expired.
        yield lambda run=run: type(run).objects.get(pk=run.pk).state == RunState.LOST
        problem = site.begin("lost", Kind.LOST, of_task(task.pk))
        yield site.later(1.5, 4)
        site.fleet.join("doomed")
        site.fleet.behaviours["lost"] = WELL
        task.run_now()
        yield site.ends("lost", SUCCEEDED)
        site.end(problem)
        yield from site.work(task.run_now, "lost")


def rerun(site: Site) -> Script:
    """Kill a worker whose run is repeated: no problem."""
    task = site.task("rerun", queue="mortal", on_lost="rerun")
    while True:
        site.fleet.join("mortal")
        site.fleet.behaviours["rerun"] = Behaviour(seconds=None)
        yield from site.calm()
        task.run_now()
        yield lambda: site.fleet.running("rerun")
        site.fleet.kill("mortal")
        site.fleet.join("mortal")
        site.fleet.behaviours["rerun"] = WELL
        yield site.ends("rerun", SUCCEEDED)
        site.fleet.leave("mortal")


def task_with_a_bad(site: Site, column: str, bad: str) -> Script:
    """Break a task behind Sisy's back, as a faulty script would, and repair it."""
    cause = f"bad {column}"
    task = site.task(cause, "* * * * *")
    good = getattr(task, column)
    while True:
        yield from site.calm()
        Task._base_manager.filter(pk=task.pk).update(**{column: bad})
        yield Task.objects.filter(pk=task.pk, state="broken").exists
        problem = site.begin(cause, Kind.BROKEN, of_task(task.pk))
        yield site.later(1.5, 4)
        task = Task.objects.get(pk=task.pk)
        setattr(task, column, good)
        task.save()
        site.end(problem)


def all_scripts(site: Site) -> list[Script]:
    """Return all scripts of this module."""
    return [
        task_that(site, "failing", FAILS, Kind.FAILING),
        task_that(site, "failing thrice", FAILS, Kind.FAILING, times=3),
        task_that(site, "timing out", TIMES_OUT, Kind.FAILING),
        task_that(site, "function gone", UNKNOWN, Kind.BROKEN),
        one_shot(site),
        job_of_django(site),
        task_that_recurs(site),
        task_that_flaps(site),
        many_tasks_that_fail(site),
        lost(site),
        rerun(site),
        task_with_a_bad(site, "schedule", "nonsense"),
        task_with_a_bad(site, "timezone", "Mars/Base"),
    ]
