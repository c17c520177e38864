"""A disk that is full: what was in hand is written down once there is room again."""

import resource

import psutil
import pytest

from sisy.models import RunState
from tests.app import jobs
from tests.processes.fleet import every_second
from tests.processes.ledger import count
from tests.processes.told import each_told_in_pairs, outages_told_by
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

TINY = 32_768  # bytes: more than its log lines, less than its database


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs Linux's limits")
def test_a_full_disk_loses_nothing_and_logs_two_lines_a_loop(site):
    tasks = every_second(5, jobs.noop, jobs.anoop, missed="all", allow_overlap=True)
    process = site.manage("sisy")
    tasks.run_for(10)
    wait_until(lambda: count(RunState.SUCCEEDED) >= 10, "ten runs have succeeded")
    ours = psutil.Process(process.pid)
    before = ours.rlimit(resource.RLIMIT_FSIZE)
    ours.rlimit(resource.RLIMIT_FSIZE, (TINY, before[1]))
    process.says("The heartbeat failed (OperationalError")
    assert process.is_up
    ours.rlimit(resource.RLIMIT_FSIZE, before)
    tasks.wait_for_the_end()
    tasks.assert_exact(recorded=False)
    assert each_told_in_pairs(process)
    assert set(outages_told_by(process).values()) == {"-+"}
    assert process.stop() == 0
