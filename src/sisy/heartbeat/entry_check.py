"""Find and repair differences between the ledger and its small tables.

Each transaction writes both, so they agree. They differ only after rows were changed by raw SQL,
or one of the tables was restored. A queued run without an entry would never be claimed, and a
running one would never be rescued. The ledger is right, so the entries are corrected.

Each audit checks a part, and the next audit follows soon if there is more. All entries are
compared with their runs in turn, and then again from the beginning. Each run is checked when it is
a minute old, and again if it is old enough to be pruned but has not finished.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import (
    BooleanField,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce
from django.utils.translation import ngettext

from sisy.heartbeat.ledger_walk import Step, Walk
from sisy.models import QueuedRun, Run, RunningRun, RunState, TroubledRun
from sisy.records.choices import TROUBLE_STATES
from sisy.records.fields import MomentField
from sisy.runtime.compat import delete_bare
from sisy.runtime.log import logger
from sisy.store import entries
from sisy.store.run_queries import has_entry
from sisy.store.statements import BEGINNING

ENTRY_BATCH = 1000
RUN_BATCH = 2000
MIN_AGE = timedelta(minutes=1)  # of a run, so that its transaction has most likely been committed

KINDS: dict[type[models.Model], Sequence[RunState]] = {
    QueuedRun: [RunState.QUEUED],
    RunningRun: [RunState.RUNNING],
    TroubledRun: TROUBLE_STATES,
}
"""The small tables, and the states whose runs have an entry there."""


class EntryCheck:
    """Compares the ledger and its small tables, part by part.

    Attributes:
        is_behind: whether the last part was followed by another one.
    """

    def __init__(self, using: str) -> None:
        self.is_behind = False
        self._using = using
        self._reached: dict[type[models.Model], Any] = {}
        self._newest: int | None = None
        self._earlier = Walk(using)
        self._recent = Walk(using)

    def go_on(self, now: datetime) -> int:
        """Check the next part, and return how many entries were wrong or missing."""
        if self._newest is None:
            newest = Run.objects.using(self._using).order_by("-pk").values_list("pk", flat=True)
            self._newest = newest.first() or 0
            self._recent = Walk(self._using, self._newest)
        self.is_behind = False
        wrong = sum(self._check_entries(kind) for kind in KINDS)
        missing = self._check_runs(self._recent, now)
        if self._earlier.after < self._newest:
            missing += self._check_runs(self._earlier, now)
        return wrong + missing

    def _check_entries(self, kind: type[models.Model]) -> int:
        everything = kind._default_manager.using(self._using)
        part = everything.filter(pk__gt=self._reached.get(kind, _beginning(kind)))
        pks = list(part.order_by("pk").values_list("pk", flat=True)[:ENTRY_BATCH])
        if not pks:
            return 0
        wrong = list(_wrong(kind, part.filter(pk__lte=pks[-1])).values_list("pk", flat=True))
        is_full = len(pks) == ENTRY_BATCH
        self._reached[kind] = pks[-1] if is_full else _beginning(kind)
        self.is_behind |= is_full
        return correct(self._using, kind, wrong) if wrong else 0

    def _check_runs(self, walk: Walk, now: datetime) -> int:
        part = walk.next_part(now - MIN_AGE, now, RUN_BATCH)
        self.is_behind |= not walk.has_arrived
        return add_missing(self._using, part)


def add_missing(using: str, steps: Iterable[Step]) -> int:
    """Add the missing entries of runs that a walk has reached. Return how many were missing."""
    runs = [step.pk for step in steps if step.state != RunState.SUCCEEDED]
    without = [pk for kind in KINDS for pk in _without_entry(using, kind, runs)] if runs else []
    if not without:
        return 0
    with transaction.atomic(using=using):
        locked = _lock(using, without)
        missing = [pk for kind in KINDS for pk in _without_entry(using, kind, locked)]
        entries.follow(using, missing)
    if missing:
        words = ngettext(
            "Restored %d missing entry of a run in the small tables from sisy_run",
            "Restored %d missing entries of runs in the small tables from sisy_run",
            len(missing),
        )
        logger.warning(words, len(missing))
    return len(missing)


def correct(using: str, kind: type[models.Model], pks: Sequence[Any]) -> int:
    """Correct or delete entries that differ from the ledger. Return how many."""
    chosen = kind._default_manager.using(using).filter(pk__in=pks)
    runs = list(chosen.values_list("run_id", flat=True))
    with transaction.atomic(using=using):
        locked = _lock(using, runs)
        # Rows that another transaction has locked are left for the next check: it may be changing
        # both.
        busy = set(Run.objects.using(using).filter(pk__in=runs).values_list("pk", flat=True))
        free = chosen.exclude(run_id__in=busy - set(locked))
        wrong = dict(_wrong(kind, free).values_list("pk", "run_id"))
        if wrong:
            delete_bare(chosen.filter(pk__in=list(wrong)))
        entries.follow(using, sorted(set(locked).intersection(wrong.values())))
        kept = Run.objects.using(using).filter(pk__in=wrong.values(), state__in=KINDS[kind])
        corrected = kept.count() if wrong else 0
    if wrong:
        words = ngettext(
            "%d entry in %s did not match sisy_run: corrected %d, deleted %d",
            "%d entries in %s did not match sisy_run: corrected %d, deleted %d",
            len(wrong),
        )
        deleted = len(wrong) - corrected
        logger.warning(words, len(wrong), kind._meta.db_table, corrected, deleted)
    return len(wrong)


def _beginning(kind: type[models.Model]) -> Any:
    return 0 if kind is TroubledRun else (0, 0)


def _lock(using: str, runs: Iterable[int]) -> list[int]:
    """Lock those of the runs that no other transaction has locked, and return their keys."""
    rows = Run.objects.using(using).filter(pk__in=list(runs)).order_by("pk")
    return list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))


def _without_entry(using: str, kind: type[models.Model], runs: Sequence[int]) -> list[int]:
    every = Run.objects.using(using)
    some = every.filter(~has_entry(kind), pk__in=runs, state__in=KINDS[kind])
    return list(some.values_list("pk", flat=True))


def _wrong(kind: type[models.Model], some: QuerySet[Any]) -> QuerySet[Any]:
    """Return the entries that have no run in their state, or differ from it."""
    of_entry = Run.objects.filter(
        pk=OuterRef("run_id"), task_id=OuterRef("task_id"), state__in=KINDS[kind]
    )
    # Not `Exists`, which PostgreSQL may execute as a join: it expects that hardly any run equals
    # its entry, and then compares each entry with each run. It executes this subquery once for
    # each entry.
    like = Subquery(COPIES[kind](of_entry).values("pk")[:1])
    wrong: QuerySet[Any] = some.alias(like=like).filter(like=None)
    return wrong


def _queued_copies(runs: QuerySet[Run]) -> QuerySet[Run]:
    is_delayed = ExpressionWrapper(Q(ready_at__gt=F("planned_at")), output_field=BooleanField())
    is_ahead = ExpressionWrapper(
        Q(due_at__isnull=False, due_at__gt=F("planned_at"), ready_at=F("due_at")),
        output_field=BooleanField(),
    )
    copied = {name: OuterRef(name) for name in ("engine", "queue", "priority", "ready_at")}
    computed = runs.annotate(delayed=is_delayed, ahead=is_ahead)
    return computed.filter(delayed=OuterRef("is_delayed"), ahead=OuterRef("is_ahead"), **copied)


def _running_copies(runs: QuerySet[Run]) -> QuerySet[Run]:
    own, copied = Coalesce("process_id", Value(0)), Coalesce(OuterRef("process_id"), Value(0))
    return runs.annotate(own=own).filter(own=copied)


def _troubled_copies(runs: QuerySet[Run]) -> QuerySet[Run]:
    never = Value(BEGINNING, MomentField())
    own, copied = Coalesce("finished_at", never), Coalesce(OuterRef("finished_at"), never)
    return runs.annotate(own=own).filter(own=copied, state=OuterRef("state"))


COPIES = {
    QueuedRun: _queued_copies,
    RunningRun: _running_copies,
    TroubledRun: _troubled_copies,
}
