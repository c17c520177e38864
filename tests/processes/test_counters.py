"""The totals of a site continue over restarts and kills of the processes that count."""

import signal

import pytest

from sisy.models import Run, RunState, Task
from sisy.monitoring import counting
from sisy.monitoring.counts import DURATION, RUNS
from tests.app import jobs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

LEASE_SECONDS = 5  # counts are stored each quarter of it


def submit(number):
    for _ in range(number):
        Task.run_once(jobs.noop, label="count me")


def counted():
    return sum(counting.read("default").counters.get(RUNS, {}).values())


def all_have_ended():
    return not Run.objects.exclude(state=RunState.SUCCEEDED).exists()


def test_totals_survive_stops_and_kills_of_workers(site):
    site.set(SISY_LEASE_SECONDS=LEASE_SECONDS)
    worker = site.manage("sisy_worker")
    submit(5)
    wait_until(lambda: counted() == 5, "a renewal has stored the counts")
    submit(3)
    wait_until(all_have_ended)
    assert worker.stop() == 0
    assert counted() == 8  # the rest was stored at the end
    worker = site.manage("sisy_worker")
    submit(4)
    wait_until(lambda: counted() == 12, "the next worker continues")
    worker.send(signal.SIGKILL)
    assert counted() == 12
    worker = site.manage("sisy_worker")
    submit(1)
    wait_until(lambda: counted() == 13, "the worker after a killed one continues")
    assert worker.stop() == 0
    [buckets] = counting.read("default").histograms[DURATION].values()
    assert sum(buckets[:-1]) == 13
