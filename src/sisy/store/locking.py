"""Lock rows that many processes change, in an order in which no two of them deadlock."""

from typing import Any

from django.db import connections
from django.db.models import QuerySet

from sisy.runtime.compat import for_write


def lock(rows: QuerySet[Any]) -> list[int]:
    """Lock ``rows`` until the transaction ends, in the order of their keys. Return the keys."""
    rows = for_write(rows)
    if connections[rows.db].vendor == "mysql":
        return _lock_by_key(rows)
    return list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))


def _lock_by_key(rows: QuerySet[Any]) -> list[int]:
    """Lock rows by their keys alone, and return the keys of those that still match."""
    # InnoDB locks the index entry by which it finds a row, and then the row. A transaction that
    # changes a row has locked the row, and then locks its index entries. The two would deadlock.
    keys = rows.order_by("pk").values_list("pk", flat=True)
    found = list(keys)
    by_key = rows.model._default_manager.using(rows.db).filter(pk__in=found).order_by("pk")
    list(by_key.select_for_update().values_list("pk"))
    return list(keys.filter(pk__in=found))
