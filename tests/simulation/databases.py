"""A new database for each simulation, so that its keys are the same each time."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections
from django.db.utils import load_backend

from tests import settings
from tests.app.models import Folder
from tests.processes.databases import postgres_database

WAITS = "SELECT cardinality(pg_blocking_pids(%s)) > 0"


class Database:
    """Where to connect to, and what to know of who waits for whom."""

    def __init__(self, configured: dict[str, Any]) -> None:
        self._configured = connections.configure_settings({"default": configured})["default"]
        self.has_row_locks = "postgresql" in configured["ENGINE"]

    def connect(self):
        """Open a connection for the models of the calling thread."""
        backend = load_backend(self._configured["ENGINE"])
        connections["default"] = backend.DatabaseWrapper(self._configured, "default")
        connections["default"].ensure_connection()
        return connections["default"]

    def backend_of(self, connection) -> int | None:
        return connection.connection.info.backend_pid if self.has_row_locks else None

    def is_in_transaction(self, connection) -> bool:
        if self.has_row_locks:
            return connection.in_atomic_block
        return connection.connection.in_transaction  # BEGIN IMMEDIATE has the lock at once

    def waits_for_lock(self, pid: int | None) -> bool:
        """Whether a statement of that connection waits for a lock; asked in the main thread."""
        with connections["default"].connection.cursor() as cursor:
            return cursor.execute(WAITS, [pid]).fetchone()[0]


@contextmanager
def new_database(name: str) -> Iterator[Database]:
    """Yield a migrated database, to which the models of this thread are connected, too."""
    with _configured(name) as configured:
        database = Database(configured)
        usual = connections["default"]
        database.connect()
        try:
            call_command("migrate", "sisy", verbosity=0)
            with connections["default"].schema_editor() as editor:
                editor.create_model(Folder)  # where Django looks before it deletes a task
            yield database
        finally:
            connections["default"].close()
            connections["default"] = usual


@contextmanager
def _configured(name: str) -> Iterator[dict[str, Any]]:
    if url := os.environ.get("DATABASE_URL"):
        with postgres_database(url, name) as own:
            yield settings.database(own)
        return
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix=name, dir=memory if memory.is_dir() else None))
    try:
        configured = settings.sqlite()
        configured["NAME"] = folder / "site.sqlite3"
        configured["OPTIONS"]["init_command"] = (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"  # nobody pulls the plug here
        )
        yield configured
    finally:
        shutil.rmtree(folder)
