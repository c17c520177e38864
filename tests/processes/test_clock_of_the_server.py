"""The clock of a PostgreSQL server that is set between the start of a run and its call.

A function of the database stands in for the server's clock.
"""

import signal

import pytest
from django.db import connection

from sisy import clock
from sisy.clock import DatabaseClock
from sisy.models import Run, Task
from tests.app import jobs
from tests.processes.ahead import LONG, Trap, calls, ends, succeeds
from tests.support.moments import HOUR, SECOND

OWN_CLOCK = """
    CREATE SCHEMA own;
    CREATE TABLE own.ahead (by interval NOT NULL);
    INSERT INTO own.ahead VALUES ('0');
    CREATE FUNCTION own.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + by FROM own.ahead';
"""


class ServersClock:
    """The clock of the database, which is set by as much as a test says."""

    def __init__(self):
        with connection.cursor() as cursor:
            cursor.execute(OWN_CLOCK)
            cursor.execute("SELECT current_database()")
            [name] = cursor.fetchone()
            # Else PostgreSQL would find its own function first.
            cursor.execute(f'ALTER DATABASE "{name}" SET search_path = own, public, pg_catalog')
        connection.close()

    def set(self, by):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE own.ahead SET by = by + %s", [by])


@pytest.mark.parametrize("by", [HOUR, 10 * SECOND, -10 * SECOND, -HOUR], ids=str)
def test_a_server_whose_clock_is_set_neither_loses_nor_doubles_the_call(new_site, forks, by):
    if connection.vendor != "postgresql":
        pytest.skip("the clock of MariaDB cannot be replaced")
    trap = Trap(new_site(), forks, signal.SIGSTOP, SISY_LEASE_SECONDS=LONG)
    with trap.database(), clock.use(DatabaseClock()):
        server = ServersClock()
        heartbeat, worker = trap.start("sisy_heartbeat"), trap.worker()
        run = trap.run()
        before = clock.now("default")
        server.set(by)
        with clock.use(DatabaseClock()):
            assert abs(clock.now("default") - before - by) < 5 * SECOND
            worker.send(signal.SIGCONT)
            end = ends(run)
            assert (end.state, end.attempt, end.times_lost) == ("succeeded", 1, 0)
            assert calls(run) == [(1, worker.pid)]
            succeeds(Run.objects.get(task=Task.run_once(jobs.record)))
            assert calls(run) == [(1, worker.pid)]
        assert worker.stop() == heartbeat.stop() == 0
