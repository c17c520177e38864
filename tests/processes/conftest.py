"""Sites with real processes: alone on SQLite, fleets on PostgreSQL or MariaDB, and Valkey."""

import itertools
import os
import shutil
from contextlib import ExitStack
from functools import partial

import pytest

from tests import settings
from tests.processes.databases import (
    database_like,
    migrate,
    on_servers,
    on_sqlite,
    open_site,
    sqlite_settings,
)
from tests.processes.forks import Forks
from tests.processes.process import ROOT
from tests.processes.site import Site, default_database
from tests.servers.mariadb import MariaDBServer
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    if "DATABASE_URL" in os.environ:
        pytest.skip("runs on SQLite: make test-sqlite")
    folder = tmp_path_factory.mktemp("template")
    migrate(Site(folder, on_sqlite(folder)))
    return folder / "site.sqlite3"


@pytest.fixture
def site(sqlite_template, tmp_path, django_db_blocker):
    """A site on a new SQLite file, which the models of the test use, too."""
    shutil.copy(sqlite_template, tmp_path / "site.sqlite3")
    site = Site(tmp_path, on_sqlite(tmp_path))
    with django_db_blocker.unblock(), default_database(sqlite_settings(tmp_path)):
        try:
            yield site
        finally:
            site.close()


@pytest.fixture(scope="session")
def database_template(tmp_path_factory, worker_id, django_db_blocker):
    """The name of a migrated database from which others are copied."""
    needs_servers()
    name = f"sisy_processes_{worker_id}"
    folder = tmp_path_factory.mktemp("template")
    with database_like(os.environ["DATABASE_URL"], name) as url:
        with django_db_blocker.unblock(), open_site(folder, url, "") as site:
            migrate(site)
        yield name


@pytest.fixture
def fleet_database(database_template, django_db_blocker):
    """The URL of a new database of the server with which the tests run."""
    url, name = os.environ["DATABASE_URL"], f"{database_template}_copy"
    with (
        django_db_blocker.unblock(),
        database_like(url, name, template=database_template) as database,
    ):
        yield database


@pytest.fixture
def fleet_site(fleet_database, tmp_path):
    """A site on that server and Valkey."""
    with open_site(tmp_path, fleet_database, os.environ["VALKEY_URL"]) as site:
        yield site


@pytest.fixture
def new_site(request, tmp_path, django_db_blocker):
    """A function that opens a further site on a database of its own, of the kind under test.

    It returns the site, and what lets the models of the test use its database for a while.
    """
    is_alone = "DATABASE_URL" not in os.environ
    template = request.getfixturevalue("sqlite_template" if is_alone else "database_template")
    count = itertools.count(1)

    def open_one():
        number = next(count)
        folder = tmp_path / f"site-{number}"
        folder.mkdir()
        if is_alone:
            shutil.copy(template, folder / "site.sqlite3")
            site, database = Site(folder, on_sqlite(folder)), sqlite_settings(folder)
        else:
            name = f"{template}_{number}"
            url = os.environ["DATABASE_URL"]
            url = stack.enter_context(database_like(url, name, template=template))
            site = Site(folder, on_servers(url, os.environ["VALKEY_URL"]))
            database = settings.database(url)
        stack.callback(site.close)
        return site, partial(default_database, database)

    with django_db_blocker.unblock(), ExitStack() as stack:
        yield open_one


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """What starts the processes of a site as forks of one that has imported everything."""
    folder = tmp_path_factory.mktemp("forks")
    if "DATABASE_URL" in os.environ:
        database = on_servers(os.environ["DATABASE_URL"], os.environ["VALKEY_URL"])
    else:
        database = on_sqlite(folder)
    forks = Forks(Site(folder, database).environment, ROOT)
    yield forks
    forks.close()


@pytest.fixture
def forked(forks, monkeypatch):
    """Let the site's commands be forks: how they start is not what is tested."""

    def manage(site, *arguments, **environment):
        return site.fork(forks, *arguments, **environment)

    monkeypatch.setattr(Site, "manage", manage)


@pytest.fixture
def valkey():
    """A Valkey that the test may kill."""
    needs_servers()
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def database_server(django_db_blocker):
    """A server, of the kind with which the tests run, that the test may kill."""
    needs_servers()
    server = MariaDBServer if is_mariadb() else PostgresServer
    with django_db_blocker.unblock(), server(fsync=True) as started:
        yield started


@pytest.fixture
def postgres(django_db_blocker):
    """A PostgreSQL that the test may kill."""
    needs_servers()
    if is_mariadb():
        pytest.skip("is about PostgreSQL: make test-postgres")
    with django_db_blocker.unblock(), PostgresServer(fsync=True) as server:
        yield server


def is_mariadb():
    return os.environ["DATABASE_URL"].startswith("mysql")


def needs_servers():
    if not {"DATABASE_URL", "VALKEY_URL"} <= os.environ.keys():
        pytest.skip("needs a server and Valkey: make test-postgres or make test-mariadb")
