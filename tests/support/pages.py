"""How many pages PostgreSQL reads to answer statements."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def reading_pages() -> Iterator[list[tuple[int, str]]]:
    """Count the pages that each SELECT reads that Django sends meanwhile.

    Each is executed twice more: the first time, a session also reads where the indexes begin.
    """
    found: list[tuple[int, str]] = []

    def explained(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip(" (\n").upper().startswith(("SELECT", "WITH")):
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"
            for _ in range(2):
                execute(explain, params, many, context)
            found.append((pages_of_plan(context["cursor"].fetchone()[0]), sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained):
        yield found


def pages_of_plan(said: Any) -> int:
    """Return the pages that a plan has read, as EXPLAIN says it in JSON."""
    plan = (json.loads(said) if isinstance(said, str) else said)[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
