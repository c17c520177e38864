"""Find runs by their entries in small tables, so that every database reads the entries first."""

from typing import Any, Self

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Lookup, Subquery
from django.db.models.sql.compiler import SQLCompiler


class _Keys(Subquery):
    """The keys of the runs that entries name."""

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> Any:
        template = "ANY(ARRAY(%(subquery)s))"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> Any:
        # MariaDB executes a union in a condition for each row of the ledger, but a table once.
        template = "(SELECT run_id FROM (%(subquery)s) AS entry)"
        return self.as_sql(compiler, connection, template=template, **context)


class NamedBy(Lookup):
    """A condition for runs that entries name. The entries are read before the ledger.

    ``pk__in`` leaves that to the database. PostgreSQL then joins both. If it expects many entries,
    and the query has a limit, it may read the ledger from one end, and look for an entry of each
    run, because it expects to find enough soon. But the runs with entries may all be at the other
    end. It does not look into an array: it always expects ten elements.
    """

    @classmethod
    def entries(cls, entries: models.QuerySet[Any]) -> Self:
        """Return the condition for runs that have one of these entries."""
        return cls(F("pk"), _Keys(entries.values("run_id")))

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        return self._compared("IN", compiler, connection)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        return self._compared("=", compiler, connection)

    def _compared(
        self, operator: str, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        key, key_params = self.process_lhs(compiler, connection)
        keys, keys_params = compiler.compile(self.rhs)
        return f"{key} {operator} {keys}", (*key_params, *keys_params)
