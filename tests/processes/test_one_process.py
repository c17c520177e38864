"""A whole site in one process on SQLite: ``manage.py sisy``, or inside the web server."""

import signal
import sys

import pytest

from sisy.models import Process, Run, RunState, Task, task_with_callable
from tests.app import jobs
from tests.processes.http import free_port, page
from tests.processes.ledger import assert_each_run_was_executed_once, count
from tests.support.waiting import wait_until

RELOADED_JOB = """
def job(message):
    return {value!r}
"""
ENDED = (0, -signal.SIGTERM)  # uvicorn ends in good order, and then by the signal that it got


def every_second():
    for fn in (jobs.record, jobs.arecord):
        task_with_callable(fn, schedule="* * * * * *", allow_overlap=True).save()


def runs_go_on():
    enough = count(RunState.SUCCEEDED) + 4
    wait_until(lambda: count(RunState.SUCCEEDED) >= enough, "four more runs have succeeded")


def test_manage_py_sisy_runs_tasks_and_stops_on_term(site):
    every_second()
    process = site.manage("sisy")
    runs_go_on()
    assert process.stop() == 0
    Run.objects.queued().delete()
    assert_each_run_was_executed_once()
    assert not Process.objects.exists()


@pytest.mark.parametrize(
    "server",
    [
        ["uvicorn", "--log-level", "warning"],
        ["granian", "--interface", "asgi", "--no-ws", "--log-level", "warning"],
    ],
    ids=["uvicorn", "granian"],
)
def test_a_server_that_speaks_lifespan_serves_the_site_and_runs_its_tasks(site, server):
    every_second()
    port = free_port()
    name, *options = server
    address = ["--host", "127.0.0.1", "--port", port]
    application = "tests.processes.asgi:with_sisy"
    process = site.run(sys.executable, "-m", name, *options, *address, application)
    wait_until(lambda: page(port) == "up\n", f"{name} answers")
    runs_go_on()
    assert page(port) == "up\n"
    assert process.stop() in ENDED
    assert not Process.objects.exists()
    assert not Run.objects.running().exists()
    Run.objects.queued().delete()
    assert_each_run_was_executed_once()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopping_server_lets_a_run_finish(site, number):
    port = free_port()
    process = site.run(
        *(sys.executable, "-m", "uvicorn", "tests.processes.asgi:with_sisy", "--port", port)
    )
    task = Task.run_once(jobs.sleeps, userdata={"seconds": 2})
    run = Run.objects.get(task=task)
    wait_until(Run.objects.running().exists, "the run has begun")
    process.send(number)
    assert process.ends() in (*ENDED, -number)
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert not Process.objects.exists()


def test_daphne_serves_the_site_and_warns_that_no_task_runs(site):
    every_second()
    port = free_port()
    process = site.run(
        *(sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", port),
        "tests.processes.asgi:with_sisy",
    )
    wait_until(lambda: page(port) == "up\n", "Daphne answers")
    process.says("This server does not support the ASGI lifespan protocol")
    assert page(port) == "up\n"
    assert process.output.count("WARNING  This server does not support") == 1
    assert process.stop() in ENDED
    assert not Process.objects.exists()


def test_a_changed_module_restarts_the_process_and_tasks_continue(site):
    def write(value):
        new = site.folder / "new"
        new.write_text(RELOADED_JOB.format(value=value))
        new.replace(site.folder / "reloaded_jobs.py")

    def changes():
        write("after")  # again and again: the first look of Django's reloader takes what it finds
        return "reloaded_jobs.py changed, reloading." in process.output

    def returned(value):
        return Run.objects.filter(state=RunState.SUCCEEDED, result=value).exists

    write("before")
    site.environment["PYTHONPATH"] += f":{site.folder}"
    process = site.manage("sisy", SISY_TEST_DEBUG="1")
    sys.path.append(str(site.folder))
    try:
        task_with_callable("reloaded_jobs.job", schedule="* * * * * *").save()
    finally:
        sys.path.remove(str(site.folder))
    wait_until(returned("before"), "the job has run")
    wait_until(changes, "the process restarts")
    wait_until(returned("after"), "the new job has run")
    assert process.stop() == 0
    assert count(RunState.FAILED, RunState.LOST) == 0
