"""Databases for sites under test: migrated once, then copied for each test."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests import settings
from tests.processes.site import Site, default_database

SQLITE_OPTIONS = settings.sqlite()["OPTIONS"]


def migrate(site: Site) -> None:
    migrating = site.manage("migrate", "--run-syncdb", "--verbosity", "0")
    assert migrating.ends() == 0, migrating.output


def on_sqlite(folder: Path, name: str = "site") -> dict[str, str]:
    """Return the environment that names a database file in ``folder``."""
    return {"SISY_TEST_FOLDER": str(folder), "SISY_TEST_DB": name}


def on_servers(database_url: str, valkey_url: str) -> dict[str, str]:
    """Return the environment that names a database and a Valkey."""
    name = urlsplit(database_url).path[1:]  # also the prefix of its keys in Valkey
    return {"DATABASE_URL": database_url, "VALKEY_URL": valkey_url, "SISY_TEST_DB": name}


def sqlite_settings(folder: Path, name: str = "site") -> dict:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": folder / f"{name}.sqlite3",
        "OPTIONS": SQLITE_OPTIONS,
    }


def named(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def postgres_database(url: str, name: str, template: str = "template1") -> Iterator[str]:
    """Create a database and drop it in the end, whoever still uses it; yield its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield named(url, name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def mariadb_database(url: str, name: str, template: str = "") -> Iterator[str]:
    """Create a database, as a copy or empty, and drop it in the end; yield its URL."""
    with _mariadb(url) as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
        if template:
            _copy_tables(cursor, template, name)
    yield named(url, name)
    with _mariadb(url) as cursor:
        cursor.execute(f"DROP DATABASE {name}")


@contextmanager
def _mariadb(url: str) -> Iterator[Any]:
    import MySQLdb  # installed for the tests on MariaDB only

    server = settings.database(url)
    connection = MySQLdb.connect(user=server["USER"], unix_socket=server["HOST"], autocommit=True)
    with closing(connection), connection.cursor() as cursor:
        yield cursor


def database_like(url: str, name: str, template: str = "") -> AbstractContextManager[str]:
    """Create a database, as a copy or empty, on the server that ``url`` names; yield its URL."""
    if url.startswith("mysql"):
        return mariadb_database(url, name, template)
    return postgres_database(url, name, template or "template1")


def _copy_tables(cursor: Any, template: str, name: str) -> None:
    cursor.execute(f"SHOW TABLES FROM {template}")
    tables = [table for (table,) in cursor.fetchall()]
    cursor.execute(f"USE {name}")
    cursor.execute("SET foreign_key_checks = 0")
    for table in tables:
        cursor.execute(f"SHOW CREATE TABLE {template}.{table}")
        cursor.execute(cursor.fetchone()[1])
        cursor.execute(f"INSERT INTO {name}.{table} SELECT * FROM {template}.{table}")


@contextmanager
def open_site(folder: Path, database_url: str, valkey_url: str) -> Iterator[Site]:
    """Yield a site on a server and Valkey, whose database the models of the test use, too."""
    site = Site(folder, on_servers(database_url, valkey_url))
    with default_database(settings.database(database_url)):
        try:
            yield site
        finally:
            site.close()
