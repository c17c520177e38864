"""A channel layer that goes, forgets, or takes nothing more: work goes on by looking for it.

The beat that goes silent after a hiccup of the broker: celery/celery#3409.
"""

import pytest
import redis

from tests import settings
from tests.processes.databases import open_site
from tests.processes.fleet import SECOND, Fleet, every_second
from tests.processes.ledger import largest_lateness
from tests.processes.told import each_told_in_pairs, outages_told_by
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

HEARD_AGAIN = "Listening on sisy.run_task works again"
MAX_LATENESS = 5.0  # seconds: about one on a machine that is not busy

# Workers that nobody rings for find a run up to a second later, when the next one is due.
POLLED = {"allow_overlap": True}


def lateness_between(start, end):
    return largest_lateness(due_at__gte=start, due_at__lt=end)


def test_a_killed_valkey_delays_runs_by_a_second_and_loses_none(fleet_database, valkey, tmp_path):
    with open_site(tmp_path, fleet_database, valkey.url) as site:
        tasks = every_second(30, **POLLED)
        fleet = Fleet(site, 2, 3)
        start = tasks.run_for(15)
        tasks.reaches(4)
        valkey.stop()
        tasks.reaches(8)
        valkey.start()
        for worker in fleet.workers:
            worker.says(HEARD_AGAIN)
        tasks.wait_for_the_end()
        tasks.assert_exact()
        usual = lateness_between(start, start + 4 * SECOND)
        meanwhile = lateness_between(start + 4 * SECOND, start + 8 * SECOND)
        again = lateness_between(start + 14 * SECOND, start + 15 * SECOND)
        print(f"lateness: {usual:.3f} s, in the outage {meanwhile:.3f} s, then {again:.3f} s")
        assert meanwhile < MAX_LATENESS
        wait_until(lambda: all(map(each_told_in_pairs, fleet.all)), "all tell of the recovery")
        for process in fleet.all:
            assert set(outages_told_by(process).values()) <= {"-+"}
        fleet.ends_well()


def test_a_valkey_flushed_repeatedly_loses_no_run(fleet_database, valkey, tmp_path):
    with open_site(tmp_path, fleet_database, valkey.url) as site:
        tasks = every_second(20, **POLLED)
        fleet = Fleet(site, 2, 2)
        tasks.run_for(10)
        with redis.Redis.from_url(valkey.url) as client:
            for second in range(1, 10):
                tasks.reaches(second)
                client.flushall()
        tasks.wait_for_the_end()
        tasks.assert_exact()
        assert [outages_told_by(process) for process in fleet.all] == [{}] * 4
        fleet.ends_well()


def test_a_full_layer_loses_no_run(fleet_database, valkey, tmp_path):
    """The heartbeat rings where nobody listens yet, and one message fills the channel."""
    with open_site(tmp_path, fleet_database, valkey.url) as site:
        full = settings.layer(valkey.url)
        full["CONFIG"] |= {"capacity": 1, "prefix": "full"}
        site.set(CHANNEL_LAYERS={"default": full})
        tasks = every_second(5, allow_overlap=True)
        heartbeat = Fleet(site, 1, 0).heartbeats[0]
        tasks.run_for(25)
        heartbeat.says("The channel sisy.run_task failed (ChannelFull")
        tasks.reaches(4)
        assert outages_told_by(heartbeat) == {"The channel sisy.run_task": "-"}
        workers = Fleet(site, 0, 2)
        heartbeat.says("The channel sisy.run_task works again")
        tasks.wait_for_the_end()
        tasks.assert_exact()
        assert heartbeat.stop() == 0
        workers.ends_well()
