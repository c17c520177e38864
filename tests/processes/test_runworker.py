"""Channels' own ``manage.py runworker`` with Sisy's consumer routed."""

import signal

from sisy.models import Process, Role, Run, RunState, Task, task_with_callable
from tests.app import jobs
from tests.processes.ledger import assert_each_run_was_executed_once, count
from tests.support.waiting import wait_until


def test_it_runs_tasks_when_a_heartbeat_elsewhere_rings_and_drains_at_term(fleet_site):
    for fn in (jobs.record, jobs.arecord):
        task_with_callable(fn, schedule="* * * * * *", allow_overlap=True).save()
    heartbeat = fleet_site.manage("sisy_heartbeat")
    runworker = fleet_site.manage("runworker", "sisy.run_task")
    wait_until(lambda: count(RunState.SUCCEEDED) >= 6, "six runs have succeeded")
    hosted = Process.objects.get(role=Role.WORKER)
    assert hosted.pid == runworker.pid
    Task.objects.all().delete()
    wait_until(lambda: not Run.objects.live().exists(), "nothing is left to do")
    Run.objects.filter(state=RunState.CANCELLED).delete()
    assert_each_run_was_executed_once()
    Task.run_once(jobs.sleeps, userdata={"seconds": 3})
    run = Run.objects.get(origin="once")
    wait_until(Run.objects.running().exists, "the long run has begun")
    runworker.send(signal.SIGTERM)
    runworker.says("Stopping: waiting up to")
    assert runworker.ends() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert heartbeat.stop() == 0
    assert not Process.objects.exists()


def test_all_queues_drain_at_one_term_and_the_process_ends_after_the_last(fleet_site):
    """Each hosted worker used to replace the signal handler of the one before."""
    heartbeat = fleet_site.manage("sisy_heartbeat")
    runworker = fleet_site.manage("runworker", "sisy.run_task", "sisy.run_task.mail")
    runs = []
    for queue, seconds in (("mail", 4), ("default", 2)):
        task = task_with_callable(
            jobs.sleeps, schedule="@yearly", queue=queue, userdata={"seconds": seconds}
        )
        task.save()
        runs.append(task.run_now())
    wait_until(lambda: Run.objects.running().count() == 2, "both runs have begun")
    assert Process.objects.filter(role=Role.WORKER, pid=runworker.pid).count() == 2
    runworker.send(signal.SIGTERM)
    assert runworker.ends() == 0
    found = Run.objects.filter(pk__in=[run.pk for run in runs])
    assert set(found.values_list("state", "attempt")) == {(RunState.SUCCEEDED, 1)}
    assert not Process.objects.filter(role=Role.WORKER).exists()
    assert heartbeat.stop() == 0
