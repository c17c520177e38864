"""Execute hand-written SQL, and read records with it.

The other modules of this package contain the statements. Each is one SQL text for all databases:

- ``%(now)s`` is a value that the caller passes. Values are never written into the text.
- ``{columns}`` is the list of a record's columns, without those that the caller defers.
- ``{in_tasks}`` and ``{not_in_tasks}`` compare with the list ``tasks``. On PostgreSQL they are
  ``= ANY(%(tasks)s)`` and ``<> ALL(%(tasks)s)``, so that the text is the same for any number of
  values. Other databases have no arrays: there they are ``IN (…)`` and ``NOT IN (…)``.
- ``{skip_locked}`` is ``FOR UPDATE SKIP LOCKED``, and ``{for_update}`` is ``FOR UPDATE``. SQLite
  has neither: there, each transaction of Sisy locks the whole database when it begins.
- ``{as_utc}`` is ``AT TIME ZONE 'UTC'`` on PostgreSQL. Other databases store UTC without a zone.

States are written into the text (``state = 'queued'``) because the partial indexes name them: a
database that plans a statement before it knows the values would not use these indexes otherwise.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from textwrap import dedent
from typing import Any, TypeVar

from django.db import connections, models
from django.db.backends.utils import CursorWrapper

from sisy.models.fields import adapted
from sisy.runtime.compat.django import Selection

M = TypeVar("M", bound=models.Model)


LOCKS = {"skip_locked": "FOR UPDATE SKIP LOCKED", "for_update": "FOR UPDATE"}
WORDS = {
    "postgresql": {**LOCKS, "as_utc": "AT TIME ZONE 'UTC'"},
    "mysql": {**LOCKS, "as_utc": ""},
    "sqlite": {**dict.fromkeys(LOCKS, ""), "as_utc": ""},
}


class Statement:
    """A statement whose text is written by hand; see the module's docstring.

    Args:
        text: the SQL.
    """

    def __init__(self, text: str) -> None:
        self.text = dedent(text).strip()

    def rows(self, using: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows that the statement returns, each value as the driver returns it."""
        with self._sent(using, values) as cursor:
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def change(self, using: str, **values: Any) -> int:
        """Execute the statement and return how many rows it changed."""
        with self._sent(using, values) as cursor:
            return int(cursor.rowcount)

    def records(
        self, using: str, model: type[M], *, defer: frozenset[str] = frozenset(), **values: Any
    ) -> list[M]:
        """Return the records of a model whose ``{columns}`` the statement returns.

        Args:
            defer: the names of fields that are not read until somebody uses them.
        """
        selection = Selection.of(model, using, defer)
        with self._sent(using, values, selection.columns) as cursor:
            return selection.records(cursor.fetchall())

    @contextmanager
    def _sent(
        self, using: str, values: Mapping[str, Any], columns: str = ""
    ) -> Iterator[CursorWrapper]:
        connection = connections[using]
        sql, params = self.written(connection.vendor, values, columns)
        params = {
            name: adapted(using, value) if isinstance(value, datetime) else value
            for name, value in params.items()
        }
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            yield cursor

    def written(
        self, vendor: str, values: Mapping[str, Any], columns: str = ""
    ) -> tuple[str, dict[str, Any]]:
        """Return the text for a database, and the values by the names that it has for them."""
        words = {"columns": columns, **WORDS[vendor]}
        params: dict[str, Any] = {}
        for name, value in values.items():
            if not isinstance(value, list):
                params[name] = value
            elif vendor == "postgresql":
                params[name] = value
                words |= {
                    f"in_{name}": f"= ANY(%({name})s)",
                    f"not_in_{name}": f"<> ALL(%({name})s)",
                }
            else:
                each = {f"{name}_{number}": one for number, one in enumerate(value)}
                params |= each
                # Nothing equals NULL, and MySQL knows no empty list.
                listed = ", ".join(f"%({place})s" for place in each) or "NULL"
                words |= {f"in_{name}": f"IN ({listed})", f"not_in_{name}": f"NOT IN ({listed})"}
        return self.text.format(**words), params
