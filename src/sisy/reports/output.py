"""The output and the progress of runs, as pages and commands show them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from sisy.models import Run, RunOutput, RunState
from sisy.reports import disclosure
from sisy.runtime.escaping import escaped_lines

MAX_PART_OF_LINE = 4096  # characters of a line whose beginning was dropped

COLOURS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
"""Escape sequences of terminals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownProgress:
    """The progress of a run.

    Attributes:
        at: when it was last reported.
    """

    done: float
    total: float | None
    message: str
    at: datetime | None

    @property
    def share(self) -> float | None:
        """Return the part that is done, from 0 to 1; None if the total is unknown."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def percent(self) -> int | None:
        """Return the percentage that is done, rounded down; None if the total is unknown."""
        return None if self.share is None else int(100 * self.share + 1e-9)

    @property
    def counts(self) -> str:
        """Return how much is done, such as "4,000 of 10,000"."""
        if self.total is None:
            return _number(self.done)
        numbers = {"done": _number(self.done), "total": _number(self.total)}
        return gettext("%(done)s of %(total)s") % numbers

    def __str__(self) -> str:
        return self.counts if self.percent is None else f"{self.percent} % · {self.counts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutput:
    """The output of an attempt, with secrets masked, and its progress.

    Attributes:
        head: its beginning; all of it if nothing was left out.
        tail: its end, after the gap.
        left_out: how many bytes lie in the gap.
        written: how many bytes it has printed.
        progress: its latest progress; None if it has reported none.
    """

    attempt: int
    head: str
    tail: str
    left_out: int
    written: int
    updated_at: datetime
    progress: ShownProgress | None

    @property
    def gap(self) -> str:
        """Return the line in place of what was left out; empty if nothing was."""
        return gap_of(self.left_out) if self.left_out else ""

    @property
    def text(self) -> str:
        """Return all text, with the gap."""
        return f"{self.head}\n{self.gap}\n{self.tail}" if self.left_out else self.head


def outputs_of(run: Run) -> list[AttemptOutput]:
    """Return what the attempts of a run have printed and reported, oldest first."""
    return [shown(row) for row in _rows_of(run).order_by("attempt")]


def output_of(run: Run, attempt: int | None = None) -> AttemptOutput | None:
    """Return what an attempt of a run has printed; by default, the latest one that has."""
    rows = _rows_of(run).order_by("-attempt")
    row = (rows if attempt is None else rows.filter(attempt=attempt)).first()
    return None if row is None else shown(row)


def _rows_of(run: Run) -> QuerySet[RunOutput]:
    rows = RunOutput.objects.using(run._state.db).filter(run_id=run.pk)
    if run.process_id is None:
        return rows
    # A released run is executed again by the attempt of the same number, in another process.
    return rows.exclude(Q(attempt=run.attempt) & ~Q(process_id=run.process_id))


def progress_of(using: str, runs: Iterable[Run]) -> dict[int, ShownProgress]:
    """Return the progress of those runs that are running and have reported it, by their keys."""
    running = {
        run.pk: (run.attempt, run.process_id) for run in runs if run.state == RunState.RUNNING
    }
    if not running:
        return {}
    rows = RunOutput.objects.using(using).filter(run_id__in=running, done__isnull=False)
    return {
        row.run_id: _progress(row)
        for row in rows.defer("head", "tail")
        if running.get(row.run_id) == (row.attempt, row.process_id)
    }


def readable(text: str) -> str:
    """Return what a terminal would show of a text, with secrets masked and nothing to obey."""
    lines = COLOURS.sub("", text).replace("\r\n", "\n").split("\n")
    # A progress bar of a terminal overwrites its line.
    last = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
    return disclosure.masked_text(escaped_lines("\n".join(last).expandtabs()))


def gap_of(left_out: int) -> str:
    """Return the line in place of this many bytes that were left out."""
    return gettext("… %s left out …") % size(left_out)


def size(count: int) -> str:
    """Return a number of bytes, such as "12 kB"."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:,.0f} kB" if count < 10_000_000 else f"{count / 1e6:,.0f} MB"


def shown(row: RunOutput) -> AttemptOutput:
    """Return the stored output of an attempt as people see it."""
    output = AttemptOutput(
        attempt=row.attempt,
        head="",
        tail="",
        left_out=0,
        written=row.written,
        updated_at=row.updated_at,
        progress=None if row.done is None else _progress(row),
    )
    kept = len(row.head.encode()) + len(row.tail.encode())
    if row.written <= kept:
        return replace(output, head=readable(row.head + row.tail))
    # The rest of a line could be the second half of a secret whose name is in the gap.
    tail = row.tail
    end = tail.find("\n", 0, MAX_PART_OF_LINE) + 1
    left_out = row.written - kept + len(tail[:end].encode())
    return replace(output, head=readable(row.head), tail=readable(tail[end:]), left_out=left_out)


def _progress(row: RunOutput) -> ShownProgress:
    fields: dict[str, Any] = {"done": row.done, "total": row.total, "at": row.progressed_at}
    return ShownProgress(**fields, message=disclosure.masked_text(escaped_lines(row.message)))


def _number(value: float) -> str:
    """Return a number without unnecessary decimals."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}".rstrip("0").rstrip(".")
