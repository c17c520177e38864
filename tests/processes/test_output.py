"""What a run prints survives the death of its worker, and can be followed by another process."""

import os
import signal

import pytest

from sisy.models import Process, Run, RunOutput, RunState, task_with_callable
from tests.app import talkative_jobs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

LEASE = 5  # seconds, the shortest


@pytest.fixture
def site(site):
    site.set(SISY_LEASE_SECONDS=LEASE)
    return site


def started(site, *command):
    process = site.manage(*command)
    wait_until(Process.objects.filter(pid=process.pid).exists, "it has signed on")
    return process


def submitted(function):
    task = task_with_callable(function, schedule="@yearly")
    task.save()
    return task.run_now()


def lines_of(run, attempt=1):
    """Return the numbers of the lines that an attempt has printed, as they are stored."""
    rows = RunOutput.objects.filter(run_id=run.pk, attempt=attempt)
    text = "".join(row.head + row.tail for row in rows)
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith("line ")]


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_what_was_printed_up_to_the_last_second_survives_a_kill(site, pool):
    worker = started(site, "sisy_worker", "--pool", pool)
    run = submitted(talkative_jobs.prints_until_stopped)
    wait_until(lambda: len(lines_of(run)) > 5, "some lines are stored")
    # What the function has printed is also in the output of the process, which shows how many
    # lines there were at most a second before the kill.
    printed = worker.output.count("\nline ")
    wait_until(lambda: worker.output.count("\nline ") > printed + 10, "a second has passed")
    os.kill(worker.pid, signal.SIGKILL)
    kept = lines_of(run)
    assert len(kept) >= printed
    assert kept == list(range(len(kept)))
    started(site, "sisy_heartbeat")
    started(site, "sisy_worker", "--pool", pool)
    wait_until(lambda: lines_of(run, attempt=2), "the second attempt prints")
    assert lines_of(run)[: len(kept)] == kept
    assert Run.objects.get(pk=run.pk).times_lost == 1


def test_a_run_is_followed_from_a_terminal(site):
    started(site, "sisy_worker")
    run = submitted(talkative_jobs.prints_until_stopped)
    follower = site.manage("sisy_runs", "logs", str(run.pk), "--follow")
    wait_until(lambda: "line 7\n" in follower.output, "it shows what is printed")
    run.cancel()
    wait_until(lambda: not follower.is_up, "it has ended with the run")
    assert follower.ends() == 1
    assert f"Run {run.pk} cancelled" in follower.output
    assert Run.objects.get(pk=run.pk).state == RunState.CANCELLED
