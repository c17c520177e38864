"""On Windows, a project with Sisy starts, and one process can plan and carry out its runs."""

import sys

import pytest

from sisy.models import Process, Run, RunState, Task, task_with_callable
from tests.app import jobs
from tests.processes.ledger import assert_each_run_was_executed_once, count
from tests.support.waiting import wait_until


def on_windows(site, *arguments):
    return site.run(sys.executable, "-m", "tests.processes.windows", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["import_all"],
        ["check"],
        ["migrate", "--no-input"],
        ["shell", "-c", "from sisy.models import Task; from tests.app import jobs; "
         "Task.run_once(jobs.noop)"],
        ["sisy_tasks", "list"],
        ["sisy_status"],
        ["sisy_sync"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_modules_and_commands_work_without_posix_features(site, arguments):
    process = on_windows(site, *arguments)
    assert process.ends() == 0, process.output


@pytest.mark.parametrize("how", [["sisy"], ["sisy", "--no-reload"]])
def test_one_process_plans_executes_and_stops_on_request(site, how):
    for fn in (jobs.record, jobs.arecord):
        task_with_callable(fn, schedule="* * * * * *", allow_overlap=True).save()
    process = on_windows(site, *how)
    wait_until(lambda: count(RunState.SUCCEEDED) >= 4, "four runs have succeeded")
    assert process.stop() == 0
    Run.objects.queued().delete()
    assert_each_run_was_executed_once()
    assert not Process.objects.exists()
    assert Task.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["sisy", "--pool", "processes"], "--pool processes"),
        (["sisy_worker", "--pool", "processes"], "--pool processes"),
        (["sisy_worker", "--processes", "2"], "--processes 2"),
    ],
)
def test_options_that_need_killable_processes_are_rejected(site, arguments, option):
    process = on_windows(site, *arguments)
    assert process.ends() == 1
    assert process.output == (
        f"CommandError: {option} is not supported on Windows. Remove it to execute runs in "
        "threads of this process.\n"
    )
