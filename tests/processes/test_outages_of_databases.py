"""A database server that goes away and comes back: nobody restarts anything, nothing is lost.

In a public comparison only three of eight systems came through a restart of PostgreSQL without a
restart of their own.
"""

import pytest
from django.db import connection

from tests.app import jobs
from tests.processes.databases import migrate, open_site
from tests.processes.fleet import Fleet, every_second
from tests.processes.told import each_told_in_pairs, outages_told_by
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

NOTICED = "failed (OperationalError"


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_a_database_restart_loses_nothing_and_logs_two_lines_a_loop(
    database_server, valkey, tmp_path, end
):
    with open_site(tmp_path, database_server.url, valkey.url) as site:
        migrate(site)
        tasks = every_second(5, jobs.noop, missed="all", allow_overlap=True)  # also if it is slow
        fleet = Fleet(site, 2, 2)
        tasks.run_for(12)
        tasks.reaches(3)
        getattr(database_server, end)()
        for process in fleet.all:
            process.says(NOTICED)
        database_server.start()
        connection.close()
        tasks.wait_for_the_end()
        tasks.assert_exact(recorded=False)
        wait_until(lambda: all(map(each_told_in_pairs, fleet.all)), "all tell of the recovery")
        for process in fleet.all:
            assert set(outages_told_by(process).values()) == {"-+"}
        fleet.ends_well()
