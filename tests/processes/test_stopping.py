"""Workers that are told to stop, are killed, or freeze in the middle of a run."""

import signal
from collections import Counter

import pytest

from sisy.models import Process, Run, RunState, Task
from tests.app import jobs
from tests.app.models import Execution
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

LEASE = 5  # seconds, the shortest
LEFT_OPEN = "<psycopg.Connection"  # by a function that outlives its worker


@pytest.fixture
def site(fleet_site):
    fleet_site.set(SISY_LEASE_SECONDS=LEASE)
    return fleet_site


def worker(site, *options):
    """Start a worker, and wait until it has signed on."""
    process = site.manage("sisy_worker", *options)
    signed_on = Process.objects.filter(pid=process.pid)
    wait_until(signed_on.exists, "the worker has signed on")
    return process


def heartbeat(site):
    process = site.manage("sisy_heartbeat")
    wait_until(Process.objects.filter(pid=process.pid).exists, "the heartbeat has signed on")
    return process


def in_hand_of(process, seconds, fn=jobs.sleeps):
    """Have the worker begin a run that takes so long."""
    task = Task.run_once(fn, userdata={"seconds": seconds})
    run = Run.objects.get(task=task)
    wait_until(Execution.objects.filter(run=run.pk, pid=process.pid).exists, "the run has begun")
    return run


def calls(run):
    """Return the attempts and the processes of the calls of the run's function."""
    return list(Execution.objects.filter(run=run.pk).order_by("id").values_list("attempt", "pid"))


def ends(run):
    """Wait until the run is over."""
    wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists(), "the run is over")
    run.refresh_from_db()
    return run


def test_term_lets_runs_end_within_the_grace_period(site):
    process = worker(site)
    runs = [in_hand_of(process, 2, fn) for fn in (jobs.sleeps, jobs.asleeps)]
    assert process.stop() == 0
    for run in runs:
        run.refresh_from_db()
        assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
        assert calls(run) == [(1, process.pid)]
    assert "waiting up to 30 s for" in process.output
    assert not Process.objects.exists()
    assert not Task.objects.exists()


def test_runs_that_outlast_the_grace_period_are_handed_to_another_worker(site):
    site.accepted.append(LEFT_OPEN)
    first = worker(site, "--grace", "0.5")
    runs = [in_hand_of(first, 5, fn) for fn in (jobs.sleeps, jobs.asleeps)]
    assert first.stop() == 0
    assert "Released 2 runs that were still running" in first.output
    second = worker(site)
    for run in runs:
        assert ends(run).state == RunState.SUCCEEDED
        assert (run.attempt, run.times_lost) == (1, 0)
        assert calls(run) == [(1, first.pid), (1, second.pid)]
    assert second.stop() == 0


def test_a_second_signal_hands_over_at_once(site):
    site.accepted.append(LEFT_OPEN)
    process = worker(site, "--grace", "600")
    run = in_hand_of(process, seconds=600)
    process.send(signal.SIGTERM)
    process.says("Stopping: waiting up to 600 s for 1 run")
    assert process.stop() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt, run.process_id) == (RunState.QUEUED, 0, None)


def test_a_worker_ends_although_a_thread_of_its_runs_does_not(site):
    process = worker(site, "--grace", "0.5")
    run = in_hand_of(process, 600, jobs.sleeps_in_a_thread)
    assert process.stop() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt, run.process_id) == (RunState.QUEUED, 0, None)


def test_a_worker_that_stops_takes_no_more_runs(site):
    process = worker(site, "--concurrency", "2")
    run = in_hand_of(process, seconds=3)
    process.send(signal.SIGTERM)
    process.says("Stopping")
    later = Run.objects.get(task=Task.run_once(jobs.record))
    assert process.ends() == 0
    run.refresh_from_db()
    later.refresh_from_db()
    assert (run.state, later.state) == (RunState.SUCCEEDED, RunState.QUEUED)


def test_the_run_of_a_killed_worker_is_rescued_once(site):
    heart = heartbeat(site)
    first = worker(site)
    run = in_hand_of(first, seconds=1)
    first.send(signal.SIGKILL)
    second = worker(site)
    assert ends(run).state == RunState.SUCCEEDED
    assert (run.attempt, run.times_lost) == (2, 1)
    assert calls(run) == [(1, first.pid), (2, second.pid)]
    assert f"worker {first.pid}@" in heart.output
    assert ": 1 queued again" in heart.output
    assert second.stop() == heart.stop() == 0


def test_a_zombie_changes_nothing_and_then_works_again(site):
    heart = heartbeat(site)
    zombie = worker(site)
    run = in_hand_of(zombie, seconds=1)
    zombie.send(signal.SIGSTOP)
    other = worker(site)
    assert ends(run).state == RunState.SUCCEEDED
    assert other.stop() == 0
    as_it_ended = Run.objects.filter(pk=run.pk).values().get()
    zombie.send(signal.SIGCONT)
    zombie.says(f"Run {run.pk} was taken over")
    zombie.says("lost its lease")
    assert Run.objects.filter(pk=run.pk).values().get() == as_it_ended
    assert calls(run) == [(1, zombie.pid), (2, other.pid)]
    again = in_hand_of(zombie, seconds=600)
    zombie.send(signal.SIGKILL)
    wait_until(Run.objects.queued().filter(pk=again.pk).exists, "the next run is rescued, too")
    assert heart.stop() == 0


def test_a_worker_that_froze_may_execute_its_own_run_again(site):
    heart = heartbeat(site)
    frozen = worker(site)
    run = in_hand_of(frozen, seconds=9)
    frozen.send(signal.SIGSTOP)
    wait_until(Run.objects.queued().filter(pk=run.pk).exists, "the run is rescued")
    frozen.send(signal.SIGCONT)
    assert ends(run).state == RunState.SUCCEEDED
    assert (run.attempt, run.times_lost) == (2, 1)
    assert calls(run) == [(1, frozen.pid), (2, frozen.pid)]
    assert frozen.stop() == heart.stop() == 0


SLOTS = 4


def works_ahead(process, count=600):
    """Have the worker carry out many short runs, until it has won some ahead; return all."""
    task = Task.bulk_run_once(jobs.sleeps, [{"seconds": 0.01}] * count)
    running = Run.objects.running().filter(task=task)
    wait_until(lambda: running.count() > SLOTS, f"worker {process.pid} has won runs ahead")
    return Run.objects.filter(label=task.label)


def freezes_with_runs_ahead(process, runs):
    """Stop the worker when it has won more runs than it has slots."""

    def is_frozen_so():
        process.send(signal.SIGSTOP)
        if runs.filter(state=RunState.RUNNING).count() > 2 * SLOTS:
            return True
        process.send(signal.SIGCONT)
        return False

    wait_until(is_frozen_so, f"worker {process.pid} is frozen with runs ahead")


def called_again(runs):
    """Return the keys of the runs whose function was called more than once."""
    calls = Counter(Execution.objects.filter(run__in=runs.values("pk")).values_list("run"))
    return {pk for (pk,), count in calls.items() if count > 1}


def test_a_zombie_starts_no_prefetched_run(site):
    heart = heartbeat(site)
    zombie = worker(site)
    runs = works_ahead(zombie)
    freezes_with_runs_ahead(zombie, runs)
    begun = Execution.objects.filter(pid=zombie.pid)
    other = worker(site)
    wait_until(lambda: not runs.live().exists(), "the other worker has carried out the rest")
    before = begun.count()
    zombie.send(signal.SIGCONT)
    zombie.says("lost its lease")
    zombie.stop()
    assert begun.count() - before <= SLOTS  # those in the middle of whose beginning it froze
    assert runs.filter(state=RunState.SUCCEEDED).count() == 600
    assert other.stop() == heart.stop() == 0


def test_a_stopping_worker_releases_prefetched_runs_immediately(site):
    first = worker(site)
    runs = works_ahead(first)
    assert first.stop() == 0
    assert not runs.filter(state=RunState.RUNNING).exists()
    given_back = runs.filter(state=RunState.QUEUED)
    assert given_back.exists()
    assert set(given_back.values_list("attempt", "process")) == {(0, None)}
    assert not called_again(runs)
    second = worker(site)
    wait_until(lambda: not runs.live().exists(), "another worker has carried out the rest")
    assert (called_again(runs), second.stop()) == (set(), 0)


def test_the_prefetched_runs_of_a_killed_worker_are_rescued(site):
    heart = heartbeat(site)
    first = worker(site)
    runs = works_ahead(first)
    first.send(signal.SIGKILL)
    second = worker(site)
    wait_until(lambda: not runs.live().exists(), "all runs are over")
    assert runs.filter(state=RunState.SUCCEEDED).count() == 600
    assert called_again(runs) <= set(runs.filter(times_lost=1).values_list("pk", flat=True))
    assert second.stop() == heart.stop() == 0


def test_runs_that_are_longer_than_those_before_do_not_wait_in_a_worker(site):
    busy = worker(site)
    runs = works_ahead(busy, count=300)
    wait_until(lambda: not runs.live().exists(), "all runs are over")
    longer = Task.bulk_run_once(jobs.sleeps, [{"seconds": 600}] * 40)
    queued = Run.objects.queued().filter(task=longer)
    wait_until(lambda: queued.count() == 40 - SLOTS, "what was won ahead is handed back")
    assert Run.objects.running().filter(task=longer).count() == SLOTS
    busy.send(signal.SIGKILL)


def test_a_draining_worker_finishes_its_run_and_exits_with_zero(site):
    process = worker(site)
    run = in_hand_of(process, 1)
    Process.objects.get(pid=process.pid).request_drain(run.ready_at)
    assert process.ends() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert not Process.objects.exists()
