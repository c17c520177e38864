"""Runs that a real Celery and a real RQ carry out, whose workers are killed in the middle."""

import sys

import psutil
import pytest
import redis

from sisy.models import Run, Task, task_with_callable
from tests.app import jobs
from tests.app.models import Execution
from tests.processes.ledger import assert_each_run_was_executed_once
from tests.support.waiting import wait_until

CELERY = (sys.executable, "-m", "celery")
COMMANDS = {
    "celery": (
        sys.executable,
        "-m",
        "celery",
        "-A",
        "django_tasks_fennel.app",
        "worker",
        "-c",
        "2",
    ),
    "rq": ("manage", "rqworker", "default", "--job-class", "django_tasks_rq.Job"),
}


@pytest.fixture(params=["celery", "rq"])
def engine(request, settings):
    settings.SISY_ENGINES = {"celery": "celery", "rq": "rq"}
    return request.param


@pytest.fixture
def engine_site(valkey, fleet_site):
    # A Valkey of its own: a Celery beside it on the same one would take messages of this site.
    fleet_site.environment["VALKEY_URL"] = valkey.url
    fleet_site.environment["DJANGO_SETTINGS_MODULE"] = "tests.processes.engines_settings"
    fleet_site.accepted += ["Warning: "]  # of what is not ours
    return fleet_site


def start_worker(site, engine):
    first, *rest = COMMANDS[engine]
    return site.manage(*rest) if first == "manage" else site.run(first, *rest)


def kill_with_all_children(process):
    """Kill them at once: the children of RQ have sessions of their own, and would go on."""
    victim = psutil.Process(process.pid)
    for each in (victim, *victim.children(recursive=True)):
        each.kill()


def test_each_due_occurrence_runs_once_on_the_engine(engine_site, engine):
    start_worker(engine_site, engine)
    task = task_with_callable(
        jobs.record,
        schedule="* * * * * *",
        engine=engine,
        overlap="allow",
        missed="all",
        iterations=5,
    )
    task.save()
    heartbeat = engine_site.manage("sisy_heartbeat")
    wait_until(lambda: not Task.objects.exists(), "all five have run")
    assert_each_run_was_executed_once()
    assert set(Run.objects.values_list("state", "engine")) == {("succeeded", engine)}
    assert set(Run.objects.values_list("process__role", flat=True)) == {"engine"}
    assert heartbeat.stop() == 0


def test_a_killed_worker_delays_runs_but_loses_none(engine_site, engine):
    engine_site.set(SISY_LEASE_SECONDS=5)
    worker = start_worker(engine_site, engine)
    run = task_with_callable(jobs.sleeps_at_first, schedule="@yearly", engine=engine)
    run.save()
    run = run.run_now()
    engine_site.manage("sisy_heartbeat")
    wait_until(Execution.objects.exists, "it has begun")
    kill_with_all_children(worker)
    start_worker(engine_site, engine)
    wait_until(lambda: Run.objects.filter(state="succeeded").exists(), "it has ended after all")
    run.refresh_from_db()
    assert (run.attempt, run.times_lost, run.result) == (2, 1, 2)
    [attempt] = run.attempts.all()
    assert attempt.state == "lost"


def test_a_run_lost_by_the_engine_is_dispatched_again(engine_site, engine):
    engine_site.set(SISY_DISPATCH_SECONDS=5)
    task = task_with_callable(jobs.record, schedule="@yearly", engine=engine)
    task.save()
    run = task.run_now()
    engine_site.manage("sisy_heartbeat")
    handed = Run.objects.exclude(dispatched_at=None)
    wait_until(handed.exists, "it was handed over")
    with redis.Redis.from_url(engine_site.environment["VALKEY_URL"]) as client:
        wait_until(client.dbsize, "the engine has it")
        client.flushall()
    start_worker(engine_site, engine)
    wait_until(lambda: Run.objects.get(pk=run.pk).state == "succeeded", "it ran after all")
    assert_each_run_was_executed_once()
