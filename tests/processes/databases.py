"""Databases for sites under test: migrated once, then copied for each test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
def open_site(folder: Path, database_url: str, valkey_url: str) -> Iterator[Site]:
    """Yield a site on PostgreSQL and Valkey, whose database the models of the test use, too."""
    name = urlsplit(database_url).path[1:]
    environment = {
        "DATABASE_URL": database_url,
        "VALKEY_URL": valkey_url,
        "SISY_TEST_DB": name,  # the prefix of its keys in Valkey
    }
    site = Site(folder, environment)
    with default_database(settings.database(database_url)):
        try:
            yield site
        finally:
            site.close()
