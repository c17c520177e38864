"""A rolling deploy: each process is replaced while tasks run each second.

Runs that are lost on TERM or at a deploy: coleifer/huey#571, rq/rq#2015.
"""

import pytest

from sisy.models import Process
from tests.processes.fleet import Fleet, every_second
from tests.processes.ledger import largest_lateness
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

MAX_LATENESS = 10.0  # seconds: about one on a machine that is not busy


def test_a_rolling_deploy_loses_no_run_and_delays_none_for_long(fleet_site):
    tasks = every_second(10, missed="all", allow_overlap=True)
    fleet = Fleet(fleet_site, 2, 2)
    tasks.run_for(30)
    tasks.reaches(1)
    new = []
    for old in fleet.all:
        process = fleet_site.manage(old.command[-1])
        wait_until(Process.objects.filter(pid=process.pid).exists, "it has signed on")
        assert old.stop() == 0
        new.append(process)
    tasks.wait_for_the_end()
    tasks.assert_exact()
    assert largest_lateness() < MAX_LATENESS
    assert [process.stop() for process in new] == [0] * 4
    assert not Process.objects.exists()
