"""Empty the tables after a test that commits, at a tenth of the cost of Django's ``flush``.

``flush`` empties all tables, and then calls what each app does after a migration: it stores its
content types and permissions anew. Almost every test leaves those alone, and fills few tables.
"""

from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

MAX_SIZE = 128 * 1024  # bytes of a table whose rows PostgreSQL deletes one by one

_after_flush: dict[str, dict[str, int]] = {}
"""How many rows each table has after ``flush``, by the name of the database."""


def empty(using: str) -> None:
    """Leave in a database what ``flush`` leaves there. Call it outside of transactions."""
    connection = connections[using]
    name = str(connection.settings_dict["NAME"])
    if name in _after_flush and _is_emptied(connection, _after_flush[name]):
        return
    call_command("flush", verbosity=0, interactive=False, database=using, reset_sequences=False)
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    counts = _select(connection, [f"(SELECT COUNT(*) FROM {table})" for table in tables])
    _after_flush[name] = dict(zip(tables, counts, strict=True))


def _is_emptied(connection: BaseDatabaseWrapper, after_flush: dict[str, int]) -> bool:
    """Empty what ``flush`` leaves empty; return False if other tables have more or fewer rows."""
    filled = [table for table, rows in after_flush.items() if rows]
    others = [table for table, rows in after_flush.items() if not rows]
    found = _select(
        connection,
        [
            *(f"(SELECT COUNT(*) FROM {table})" for table in filled),
            *(f"EXISTS (SELECT 1 FROM {table})" for table in others),
        ],
    )
    if found[: len(filled)] != [after_flush[table] for table in filled]:
        return False
    tables = [
        table for table, has_rows in zip(others, found[len(filled) :], strict=True) if has_rows
    ]
    connection.ops.execute_sql_flush(_statements(connection, tables, others))
    return True


def _statements(
    connection: BaseDatabaseWrapper, with_rows: list[str], tables: list[str]
) -> list[str]:
    if connection.vendor != "postgresql":
        return connection.ops.sql_flush(no_style(), with_rows)
    # TRUNCATE makes new files for a table and its indexes, which takes far longer than to delete
    # a few rows. But deleted ones stay in a table's pages, which later tests would read.
    sizes = _select(connection, [f"pg_relation_size('{table}')" for table in tables])
    large = [table for table, size in zip(tables, sizes, strict=True) if size > MAX_SIZE]
    return [
        *(f"TRUNCATE {table} CASCADE" for table in large),
        *(f"DELETE FROM {table}" for table in with_rows if table not in large),
    ]


def _select(connection: BaseDatabaseWrapper, expressions: list[str]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(expressions)}")
        return list(cursor.fetchone())
