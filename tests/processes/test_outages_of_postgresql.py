"""Connections to PostgreSQL that are ended, or that there are too few of.

Connections that leak or die: jcass77/django-apscheduler#73.
"""

from contextlib import contextmanager, suppress

import psycopg
import pytest
from django.db import connection

from sisy.models import Run, RunState, Task
from tests import settings
from tests.app import jobs
from tests.processes.databases import migrate, open_site
from tests.processes.fleet import Fleet, every_second
from tests.processes.told import each_told_in_pairs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> ALL(%s) AND application_name <> 'taken'
"""


@pytest.fixture
def site(postgres, valkey, tmp_path):
    with open_site(tmp_path, postgres.url, valkey.url) as site:
        migrate(site)
        yield site


def terminate_all():
    """End all connections but the test's own."""
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute(TERMINATE, [[connection.connection.info.backend_pid]])


@contextmanager
def all_connections_taken(postgres):
    """Take as many connections as the server has left; yield what takes those left again."""
    taken = []

    def take():
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(postgres.url, application_name="taken"))

    try:
        take()
        yield take
    finally:
        for one in taken:
            one.close()


def assert_all_recover(fleet):
    wait_until(lambda: all(map(each_told_in_pairs, fleet.all)), "all tell of the recovery")
    fleet.ends_well()


def test_terminated_connections_lose_no_occurrence(site):
    tasks = every_second(5, jobs.noop, missed="all", allow_overlap=True)
    fleet = Fleet(site, 2, 2)
    tasks.run_for(10)
    for half in range(2, 16):
        tasks.reaches(half / 2)
        terminate_all()
    tasks.wait_for_the_end()
    tasks.assert_exact(recorded=False)
    assert_all_recover(fleet)


def test_a_server_without_a_free_connection_loses_no_occurrence(site, postgres):
    tasks = every_second(5, jobs.noop, missed="all", allow_overlap=True)
    fleet = Fleet(site, 2, 2)
    tasks.run_for(10)
    tasks.reaches(2)
    with all_connections_taken(postgres) as take_more:

        def all_have_noticed():
            terminate_all()
            take_more()  # before they do, if not at the first time
            return all("failed (" in process.output for process in fleet.all)

        wait_until(all_have_noticed)
        tasks.reaches(6)
    tasks.wait_for_the_end()
    tasks.assert_exact(recorded=False)
    assert_all_recover(fleet)


def test_a_pool_of_one_connection_serves_a_worker_with_several_threads(site, postgres):
    """Each thread of a role gives the connection back after each step."""
    database = settings.database(postgres.url)
    database |= {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": {"max_size": 1, "min_size": 0}}}
    site.set(DATABASES={"default": database})
    tasks = every_second(5, missed="all", allow_overlap=True)
    fleet = Fleet(site, 1, 2)
    tasks.run_for(8)
    tasks.wait_for_the_end()
    tasks.assert_exact()
    assert_all_recover(fleet)


def test_a_temporarily_exhausted_pool_loses_no_occurrence(site, postgres):
    """A function keeps the only connection for longer than others wait for one."""
    database = settings.database(postgres.url)
    pool = {"max_size": 1, "min_size": 0, "timeout": 0.5}
    database |= {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": pool}}
    site.set(DATABASES={"default": database})
    tasks = every_second(5, jobs.noop, missed="all", allow_overlap=True)
    fleet = Fleet(site, 1, 1)
    tasks.run_for(8)
    tasks.reaches(2)
    Task.run_once(jobs.keeps_its_connection, userdata={"seconds": 3})
    fleet.workers[0].says("get a connection after 0.50 sec")
    wait_until(lambda: not Task.objects.exists(), "the tasks are gone")
    once = Run.objects.get(origin="once")
    assert (once.state, once.attempt) == (RunState.SUCCEEDED, 1)
    once.delete()
    tasks.assert_exact(recorded=False)
    assert_all_recover(fleet)
