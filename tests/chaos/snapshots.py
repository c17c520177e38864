"""Hold a snapshot in another connection for a long time, as a dump or a report does.

Meanwhile, the database keeps all versions of rows that the snapshot could still read. They pile
up: dead rows and index entries on PostgreSQL, undo records on MariaDB, the log on SQLite. A held
snapshot excuses no late start.
"""

import threading

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connection, connections

from tests.chaos import moments
from tests.chaos.evidence import Span
from tests.chaos.moments import clock_time
from tests.support.small_tables import disagreements

BEGIN = {
    "postgresql": ["BEGIN ISOLATION LEVEL REPEATABLE READ"],
    "mysql": [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    ],
    "sqlite": ["BEGIN DEFERRED"],
}
BACKEND = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}
AGAIN = 0.2  # seconds
LOOK = 1.0  # seconds between two checks that the connection is still open


class Snapshots:
    """Holds a snapshot from `hold` to `release`, in a thread of its own, which has a connection.

    If the database ends the connection, it takes another one.

    Attributes:
        held: when a snapshot was held.
        disagreements: how the ledger and the small tables differed within a snapshot.
        backend: the number that the database has for the connection, or 0.
        error: what went wrong, for example that it was no snapshot.
    """

    def __init__(self) -> None:
        self.held: list[Span] = []
        self.disagreements: list[str] = []
        self.backend = 0
        self.error: BaseException | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self) -> None:
        if self._thread is None:
            self._ending.clear()
            self._thread = threading.Thread(target=self._keep_holding, daemon=True)
            self._thread.start()

    def release(self) -> None:
        if self._thread is not None:
            self._ending.set()
            self._thread.join(60)
            self._thread = None

    def _keep_holding(self) -> None:
        try:
            while not self._ending.is_set():
                self._hold_one()
                self._ending.wait(AGAIN)
        except BaseException as error:
            self.error = error
            raise
        finally:
            connections.close_all()

    def _hold_one(self) -> None:
        """Hold a snapshot until it is to end, or until the database ends it."""
        since = None
        try:
            with connection.cursor() as cursor:
                for statement in BEGIN[connection.vendor]:
                    cursor.execute(statement)
                if connection.vendor in BACKEND:
                    cursor.execute(BACKEND[connection.vendor])
                    [self.backend] = cursor.fetchone()
            seen = _counts()
            since = moments.now()
            self.disagreements += [
                f"{each} (in a snapshot at {clock_time(since)})" for each in disagreements()
            ]
            while not self._ending.wait(LOOK):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
            if _counts() != seen:
                raise RuntimeError(f"This was no snapshot: {seen} became {_counts()}")
        except (DatabaseError, InterfaceError):
            pass  # the database was stopped
        finally:
            self.backend = 0
            if since is not None:
                self.held.append((since, moments.now()))
            connections.close_all()


def _counts() -> dict[str, int]:
    """Read all of Sisy's tables."""
    models = apps.get_app_config("sisy").get_models()
    return {model.__name__: model._default_manager.count() for model in models}
