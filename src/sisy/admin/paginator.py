"""Pages of a list that may be long: to count all of a ledger would take longer than to show it."""

from functools import cached_property

from django.core.paginator import Paginator
from django.db.models import QuerySet

MOST = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts the first 10,000 rows, and leads no further; a filter finds what lies behind them."""

    @cached_property
    def count(self) -> int:
        """The number of rows that can be leafed through."""
        rows = self.object_list
        return rows.order_by()[:MOST].count() if isinstance(rows, QuerySet) else len(rows)
