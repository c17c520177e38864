"""Servers that go away and come back: nobody restarts anything, and nothing is lost."""

from django.db import connection

from tests.app import jobs
from tests.processes.databases import migrate, open_site
from tests.processes.fleet import SECOND, Fleet, every_second
from tests.processes.ledger import largest_lateness

HEARD_AGAIN = "listening on sisy.run_task is back"
LATE_AT_MOST = 5.0  # seconds: about one on a machine that is not busy


def lateness_between(start, end):
    return largest_lateness(due_at__gte=start, due_at__lt=end)


def test_a_killed_valkey_costs_a_second_and_no_run(fleet_database, valkey, tmp_path):
    with open_site(tmp_path, fleet_database, valkey.url) as site:
        tasks = every_second(30)
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
        assert meanwhile < LATE_AT_MOST
        fleet.ends_well()


def test_a_database_that_crashes_and_returns_costs_no_occurrence(
    database_server, valkey, tmp_path
):
    with open_site(tmp_path, database_server.url, valkey.url) as site:
        migrate(site)
        tasks = every_second(5, jobs.noop, missed="all", allow_overlap=True)  # also if it is slow
        fleet = Fleet(site, 2, 2)
        tasks.run_for(12)
        tasks.reaches(3)
        database_server.crash()
        for process in fleet.all:
            process.says("failed (OperationalError")
        database_server.start()
        connection.close()
        tasks.wait_for_the_end()
        tasks.assert_exact(recorded=False)
        fleet.ends_well()
