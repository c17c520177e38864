"""Workers with the code of yesterday beside workers with that of today."""

import pytest

from sisy.models import Process, Run, RunState, Task, task_with_callable
from tests.app import jobs
from tests.support.waiting import wait_until

NEW = """
def job(message):
    return "new"
"""


def of_new_code(label, **fields):
    """Return a task whose function only workers with the new code have."""
    task = task_with_callable(jobs.noop, label=label, schedule="@yearly", **fields)
    task.save()
    Task.objects.filter(pk=task.pk).update(target_path="new_jobs.job")
    return Task.objects.get(pk=task.pk)


def worker(site, *options, **environment):
    process = site.manage("sisy_worker", *options, **environment)
    wait_until(Process.objects.filter(pid=process.pid).exists, "the worker has signed on")
    return process


def states(runs):
    found = Run.objects.filter(pk__in=[run.pk for run in runs])
    return set(found.values_list("state", "attempt", "times_lost"))


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_runs_of_new_code_stay_queued_for_a_worker_that_has_it(site, pool):
    """They keep the old worker neither busy, nor from the runs behind them."""
    folder = site.folder / "new"
    folder.mkdir()
    (folder / "new_jobs.py").write_text(NEW)
    new = [of_new_code(f"new {n}", overlap="allow" if n % 2 else "skip") for n in range(6)]
    old_task = task_with_callable(jobs.noop, label="old", schedule="@yearly", overlap="allow")
    old_task.save()
    runs = [task.run_now() for task in new]
    behind = [old_task.run_now() for _ in range(6)]
    old = worker(site, "--pool", pool, "--concurrency", "2")
    wait_until(lambda: states(behind) == {(RunState.SUCCEEDED, 1, 0)}, "those behind have run")
    wait_until(
        lambda: Run.objects.queued().exclude(unresolved_since=None).exists(), "one is released"
    )
    wait_until(lambda: states(runs) == {(RunState.QUEUED, 0, 0)}, "all others are released")
    path = f"{site.environment['PYTHONPATH']}:{folder}"
    current = worker(site, PYTHONPATH=path)
    wait_until(lambda: states(runs) == {(RunState.SUCCEEDED, 1, 0)}, "the new worker has run all")
    assert set(Run.objects.filter(pk__in=[run.pk for run in runs]).values_list("result")) == {
        ("new",)
    }
    assert old.stop() == current.stop() == 0
