"""Locks rows so that no two transactions wait for each other."""

from typing import Any

from django.db import connections
from django.db.models import QuerySet

from sisy.runtime.compat import for_write


def lock(rows: QuerySet[Any]) -> list[int]:
    """Lock ``rows`` until the transaction ends, in the order of their keys; return these."""
    rows = for_write(rows)
    if connections[rows.db].vendor == "mysql":
        return _lock_by_key(rows)
    return list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))


def _lock_by_key(rows: QuerySet[Any]) -> list[int]:
    """Lock rows by nothing but their keys, and look again at which of them are still meant.

    InnoDB locks the entry of the index by which it finds a row, and then the row. Who changes a
    row has locked the row, and then locks its entries: the two would wait for each other.
    """
    keys = rows.order_by("pk").values_list("pk", flat=True)
    found = list(keys)
    by_key = rows.model._default_manager.using(rows.db).filter(pk__in=found).order_by("pk")
    list(by_key.select_for_update().values_list("pk"))
    return list(keys.filter(pk__in=found))
