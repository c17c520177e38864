"""A fleet of two heartbeats and three workers: each second of each task once.

It lasts SISY_TEST_FLEET_SECONDS, 8 by default.
"""

import os

import pytest

from sisy.models import Process, Run
from tests.processes.fleet import Fleet, every_second
from tests.processes.ledger import largest_lateness

pytestmark = pytest.mark.usefixtures("forked")

SECONDS = int(os.environ.get("SISY_TEST_FLEET_SECONDS", "8"))


def test_each_second_of_200_tasks_runs_once(fleet_site):
    # On a slow machine a run may be queued for longer than the second between two of them.
    tasks = every_second(200, allow_overlap=True)
    fleet = Fleet(fleet_site, heartbeats=2, workers=3)
    tasks.run_for(SECONDS)
    tasks.wait_for_the_end()
    tasks.assert_exact()
    assert not Run.objects.with_task().exists()
    assert Run.objects.values("process").distinct().count() == 3
    print(f"{SECONDS} s; largest lateness: {largest_lateness():.3f} s")
    fleet.ends_well()
    assert not Process.objects.exists()
