"""What PostgreSQL itself says about its work: the log that it wrote, its rows, the pages it read.

Nothing here names an index, and tables are found by their prefix, so that two layouts of the
tables can be compared.
"""

import json
import math
import re
import time
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from django.db import connection

from benchmarks import layouts

TABLES = r"sisy\_%"
LEDGER = "sisy_run"

ENTRY = re.compile(r"^(\d+\.\d+) (\S*) LOG:  duration: .* plan:\n", re.MULTILINE)
PREFIX = "%n %a "  # when, which process


def ask(sql: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(**layouts.address(), autocommit=True) as own:
        cursor = own.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else []


def configure(**settings: object) -> None:
    """Change settings of the server, for all sessions."""
    with psycopg.connect(**layouts.address(), autocommit=True) as own:
        own.execute("LOAD 'auto_explain'")
        for name, value in settings.items():
            own.execute(f"ALTER SYSTEM SET {name.replace('__', '.')} = '{value}'")
        own.execute("SELECT pg_reload_conf()")


@contextmanager
def held_snapshot() -> Iterator[None]:
    """Hold a snapshot, as a long report or pg_dump does: no dead row is removed meanwhile."""
    with psycopg.connect(**layouts.address()) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute(f"SELECT count(*) FROM {LEDGER}")
        yield
        other.rollback()


# --- the write-ahead log ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Wal:
    """What was written to the write-ahead log, in bytes.

    Attributes:
        size: without images of pages. Some are written for hint bits, where pages have checksums.
        kinds: the records by their kind, such as ``Heap/HOT_UPDATE``.
    """

    size: int
    kinds: Mapping[str, int]

    def largest(self, runs: int, most: int = 6) -> str:
        """Return in words which kinds take how many bytes of a run."""
        kinds = sorted(self.kinds.items(), key=lambda kind: -kind[1])[:most]
        return ", ".join(f"{name} {size / runs:,.0f}" for name, size in kinds)


def log_only_changes() -> None:
    """Let the log contain no images of pages, and leave out what vacuum writes.

    The first change of a page after a checkpoint would write the whole page, and not the change.
    How often that happens depends on the checkpoints, not on the number of runs.
    """
    configure(autovacuum="off", full_page_writes="off")
    ask("CREATE EXTENSION IF NOT EXISTS pg_walinspect")


def place() -> str:
    return str(ask("SELECT pg_current_wal_insert_lsn()")[0][0])


def wal_between(begin: str, end: str) -> Wal:
    [(total,)] = ask("SELECT %s::pg_lsn - %s::pg_lsn", end, begin)
    rows = ask(
        'SELECT "resource_manager/record_type", record_size, fpi_size '
        "FROM pg_get_wal_stats(%s, %s, true) WHERE count > 0",
        begin,
        end,
    )
    images = sum(int(size) for _, _, size in rows)
    kinds = {name: int(size) for name, size, _ in rows}
    return Wal(size=int(total) - images, kinds=kinds)


# --- rows ---


class Rows(NamedTuple):
    """What was done to the rows of a table; ``dead`` are left for vacuum."""

    inserted: int
    updated: int
    hot: int
    deleted: int
    dead: int

    def since(self, before: "Rows | None") -> "Rows":
        earlier = before or (0,) * len(self)
        return Rows(*(now - then for now, then in zip(self, earlier, strict=True)))


def rows() -> dict[str, Rows]:
    """Return what was done to each of Sisy's tables.

    By this process until now; by others until the last time that they have reported, which they do
    at the end of a transaction, at most once a second.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    found = ask(
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup "
        "FROM pg_stat_user_tables WHERE relname LIKE %s ORDER BY relname",
        TABLES,
    )
    return {name: Rows(*counts) for name, *counts in found}


# --- pages ---


@dataclass(slots=True)
class Reading:
    """The pages that each statement of each process read, with the moment at which it ended."""

    begin: float = 0.0
    end: float = 0.0
    statements: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def in_each_second(self, process: str) -> list[int]:
        """Return the pages that a process read in each second.

        From half a second to the next, since processes look when a second has begun.
        """
        first, last = math.ceil(self.begin - 0.5), math.floor(self.end - 0.5)
        return self.between([n + 0.5 for n in range(first, last + 1)], process)

    def between(self, moments: Sequence[float], process: str) -> list[int]:
        """Return the pages that a process read from each of these moments to the next one.

        Raises:
            LookupError: the process has sent nothing, or does not name itself.
        """
        if not self.statements.get(process):
            raise LookupError(f"No statement of {process} was explained")
        pages = [0] * (len(moments) - 1)
        for ended, read in self.statements[process]:
            if moments[0] <= ended < moments[-1]:
                pages[bisect(moments, ended) - 1] += read
        return pages


def explain_all() -> None:
    """Load auto_explain into each session that starts from now on. It logs nothing yet."""
    configure(
        session_preload_libraries="auto_explain",
        log_line_prefix=PREFIX,
        auto_explain__log_min_duration=-1,
        auto_explain__log_analyze="on",
        auto_explain__log_buffers="on",
        auto_explain__log_timing="off",
        auto_explain__log_format="json",
    )


@contextmanager
def reading() -> Iterator[Reading]:
    """Count the pages that each statement of each process reads meanwhile.

    Processes name themselves by the variable PGAPPNAME. `explain_all` comes first.
    """
    log = Path(layouts.address()["host"]) / "log"
    written = log.stat().st_size
    found = Reading()
    configure(auto_explain__log_min_duration=0)
    try:
        found.begin = time.time()
        yield found
        found.end = time.time()
    finally:
        configure(auto_explain__log_min_duration=-1)
    with log.open() as lines:
        lines.seek(written)
        found.statements = _statements(lines.read())


def _statements(log: str) -> dict[str, list[tuple[float, int]]]:
    found: dict[str, list[tuple[float, int]]] = {}
    for entry in ENTRY.finditer(log):
        moment, process = entry.groups()
        if process:
            plan, _ = json.JSONDecoder().raw_decode(log, log.index("{", entry.end()))
            found.setdefault(process, []).append((float(moment), _pages(plan)))
    return found


def _pages(plan: dict[str, Any]) -> int:
    top = plan["Plan"]
    return int(top.get("Shared Hit Blocks", 0)) + int(top.get("Shared Read Blocks", 0))
