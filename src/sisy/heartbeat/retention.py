"""Delete retired tasks, old runs and their output, and rows that no task or run names any more."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from sisy import conf
from sisy.heartbeat import entry_check
from sisy.heartbeat.ledger_walk import Walk
from sisy.models import Attempt, Process, Run, RunOutput, Task, TaskChange, TraceContext
from sisy.records.choices import LIVE_STATES
from sisy.runtime.compat import delete_bare
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store import entries
from sisy.store.bulk import Update, update_rows

RETIRED_BATCH = 1000
PRUNE_BATCH = 500
OUTPUT_BATCH = 500  # attempts
CHANGE_BATCH = 500
COUNT_BATCH = 10_000
ROUND_INTERVAL = timedelta(hours=1)
MAX_BATCHES_OF_A_TASK = 200  # per visit; each task is visited once a minute
PROCESS_GRACE = timedelta(days=1)  # for runs that end after their process, and for clock changes


def delete_ended(using: str) -> int:
    """Delete retired tasks whose last run has finished. Their history stays. Return how many."""
    pks = list(Task.objects.using(using).ended().values_list("pk", flat=True)[:RETIRED_BATCH])
    return Task.objects.using(using).filter(pk__in=pks).delete_ended() if pks else 0


class OutputRounds:
    """One heartbeat's walks through the stored output, each from the oldest run on.

    No index contains the age of output, because its row changes while the run is running. The keys
    of runs grow with time instead, so a walk ends after a batch that has nothing old enough.

    Attributes:
        is_behind: whether there may be more that is old enough.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._after = 0
        self.is_behind = False

    def prune(self, now: datetime) -> int:
        """Delete a batch of old output. Return of how many attempts."""
        days = conf.get_settings().output_days
        if not days:
            self.is_behind = False
            return 0
        before = now - timedelta(days=days)
        stored = RunOutput.objects.using(self._using)
        following = stored.filter(run_id__gt=self._after).order_by("run_id", "attempt")
        rows = list(following.values_list("run_id", "updated_at")[:OUTPUT_BATCH])
        old = {run for run, updated_at in rows if updated_at < before}
        self.is_behind = len(rows) == OUTPUT_BATCH and bool(old)
        self._after = rows[-1][0] if self.is_behind else 0
        return delete_bare(stored.filter(run_id__in=old, updated_at__lt=before)) if old else 0


class ChangeRounds:
    """One heartbeat's walks through the recorded changes, a batch at each thorough pass.

    Tasks that end by themselves are deleted without their changes, because few of them have any.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._after = 0

    def prune(self) -> int:
        """Delete those of a batch whose task was deleted. Return how many."""
        stored = TaskChange.objects.using(self._using)
        rows = list(
            stored.filter(pk__gt=self._after)
            .order_by("pk")
            .values_list("pk", "task_id")[:CHANGE_BATCH]
        )
        self._after = rows[-1][0] if len(rows) == CHANGE_BATCH else 0
        if not rows:
            return 0
        owners = {task for _, task in rows}
        kept = Task.objects.using(self._using).filter(pk__in=owners).values_list("pk", flat=True)
        gone = owners - set(kept)
        orphans = stored.filter(pk__in=[pk for pk, task in rows if task in gone])
        return delete_bare(orphans) if gone else 0


class Rounds:
    """One heartbeat's walks through old history: one per hour, each from the oldest run on.

    A walk skips a run that has not finished, or that finished long after it was planned. A later
    round deletes it. Between two rounds, the walk waits at the first run that is too young.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._walk = Walk(using)
        self._began: datetime | None = None
        self.output = OutputRounds(using)
        self.changes = ChangeRounds(using)

    @property
    def is_behind(self) -> bool:
        """Return whether more runs may be old enough than the last batch has reached."""
        return self._began is not None and not self._walk.has_arrived

    @property
    def has_more(self) -> bool:
        """Return whether more runs, or more of what they printed, may be old enough."""
        keeps_runs = not conf.get_settings().history_days
        return self.output.is_behind or (self.is_behind and not keeps_runs)

    def prune(self, before: datetime, now: datetime) -> int:
        """Delete a batch of runs that finished before a moment, oldest first. Return how many."""
        if self._began is None or self._is_time(now):
            self._walk, self._began = Walk(self._using), now
        part = self._walk.next_part(before, now, PRUNE_BATCH)
        entry_check.add_missing(self._using, [step for step in part if not step.is_over])
        return _prune(self._using, [step.pk for step in part if step.is_over])

    def _is_time(self, now: datetime) -> bool:
        assert self._began is not None
        # Also if the clock was set back.
        return self._walk.has_arrived and abs(now - self._began) >= ROUND_INTERVAL


def prune_history(using: str, now: datetime, rounds: Rounds | None = None) -> int:
    """Delete a batch of runs older than ``SISY_HISTORY_DAYS``, oldest first. Return how many.

    Args:
        rounds: where the last batch ended; by default, begin at the oldest run.
    """
    days = conf.get_settings().history_days
    return (rounds or Rounds(using)).prune(now - timedelta(days=days), now) if days else 0


def prune_backlog(using: str, now: datetime, rounds: Rounds, turn: Turn) -> int:
    """Delete further batches of old runs until the turn ends. Return the number of runs.

    A batch follows only after a full one, so a heartbeat that keeps up reads nothing here.
    """
    pruned = 0
    while rounds.has_more and not turn.ends_here():
        if rounds.output.is_behind:
            rounds.output.prune(now)
        else:
            pruned += prune_history(using, now, rounds)
            prune_processes(using, now)
    return pruned


def prune_before(using: str, moment: datetime, now: datetime) -> Iterator[int]:
    """Delete all runs that finished before a moment, oldest first. Yield the size of batches."""
    for pks in _over_before(using, moment, now, PRUNE_BATCH):
        yield _prune(using, pks)


def count_before(using: str, moment: datetime, now: datetime) -> int:
    """Return how many runs `prune_before` would delete."""
    return sum(len(pks) for pks in _over_before(using, moment, now, COUNT_BATCH))


def _over_before(using: str, moment: datetime, now: datetime, size: int) -> Iterator[list[int]]:
    """Yield the keys of runs that finished before a moment, part by part."""
    walk = Walk(using)
    while not walk.has_arrived:
        yield [step.pk for step in walk.next_part(moment, now, size) if step.is_over]


def prune_processes(using: str, now: datetime) -> int:
    """Delete a batch of ended processes that no run in the ledger can name. Return how many.

    If the pruning of runs is far behind, a run may outlive the record of its process. Then the
    name of its worker is unknown.
    """
    ended = Process.all_objects.using(using).ended().filter(ended_at__lt=_nameless(using, now))
    oldest = ended.order_by("ended_at").values_list("pk", flat=True)[:PRUNE_BATCH]
    pks = list(oldest)
    return delete_bare(Process.all_objects.using(using).filter(pk__in=pks)) if pks else 0


def _nameless(using: str, now: datetime) -> datetime:
    """Return a moment such that no run names a process that ended earlier."""
    days = conf.get_settings().history_days
    if days:
        # The runs of a process end at the latest when a heartbeat finds that it ended.
        return now - timedelta(days=days) - PROCESS_GRACE
    # A process that ended before the oldest run was planned cannot have claimed any run.
    planned = Run.objects.using(using).order_by("pk").values_list("planned_at", flat=True)
    return (planned.first() or now) - PROCESS_GRACE


def prune_surplus(
    using: str, first_pk: int, last_pk: int, turn: Turn = ENDLESS
) -> tuple[int, int]:
    """Delete the oldest runs of tasks that have more runs than they keep.

    Args:
        first_pk, last_pk: the first and the last task to check.

    Returns:
        The number of deleted runs, and the key of the last task that was checked in this turn.
    """
    most = conf.get_settings().history_runs
    tasks = Task.objects.using(using).filter(pk__gte=first_pk, pk__lte=last_pk)
    keeping = tasks.annotate(kept=Coalesce("history_runs", Value(most))).filter(kept__gt=0)
    # Counting runs is expensive, so check only tasks that can have too many: those with a limit of
    # their own, and those that have planned more runs than they keep.
    may_have_more = keeping.filter(runs_planned__gt=F("kept")) | keeping.exclude(history_runs=None)
    pruned, looked = 0, first_pk - 1
    for pk, kept in may_have_more.order_by("pk").values_list("pk", "kept"):
        if looked >= first_pk and turn.ends_here():
            return pruned, looked
        ended = Run.objects.using(using).filter(task=pk).exclude(state__in=LIVE_STATES)
        # Read once for all batches, because the database must step over all runs that are kept.
        newest = ended.order_by("-pk").values_list("pk", flat=True)[kept : kept + 1].first()
        if newest is not None:
            surplus = ended.filter(pk__lte=newest).order_by("pk").values_list("pk", flat=True)
            for _ in range(MAX_BATCHES_OF_A_TASK):
                batch = _prune(using, surplus[:PRUNE_BATCH])
                pruned += batch
                if batch < PRUNE_BATCH:
                    break
                if turn.ends_here():
                    return pruned, looked
        looked = pk
    return pruned, last_pk


def _prune(using: str, pks: Iterable[int]) -> int:
    """Delete finished runs, and add their number to the tasks' totals. Return how many."""
    chosen = Run.objects.using(using).filter(pk__in=list(pks)).exclude(state__in=LIVE_STATES)
    if not (owners := set(chosen.values_list("task", flat=True))):
        return 0
    with transaction.atomic(using=using):
        tasks = Task.objects.using(using).filter(pk__in=owners).order_by("pk")
        # Pruning is never urgent: leave runs of locked tasks for a later pass.
        locked = dict(tasks.select_for_update(skip_locked=True).values_list("pk", "pruned"))
        missing = owners - locked.keys()
        busy = set(tasks.filter(pk__in=missing).values_list("pk", flat=True)) if missing else ()
        rows = [
            row for row in chosen.values_list("pk", "task", "state", "count") if row[1] not in busy
        ]
        leaving = [pk for pk, *_ in rows]
        delete_bare(Attempt.objects.using(using).filter(run__in=leaving))
        delete_bare(TraceContext.objects.using(using).filter(run_id__in=leaving))
        entries.forget_all(using, leaving)
        delete_bare(Run.objects.using(using).filter(pk__in=leaving))
        _note_pruned(using, locked, rows)
    return len(leaving)


def _note_pruned(
    using: str, before: Mapping[int, Mapping[str, int]], rows: Iterable[tuple[int, int, str, int]]
) -> None:
    """Add the occurrences that deleted runs represent to the totals of their tasks."""
    totals: dict[int, Counter[str]] = {}
    for _, task, state, count in rows:
        if task in before:
            totals.setdefault(task, Counter(before[task]))[state] += count
    pruned = [dict(total) for total in totals.values()]
    update_rows(using, Task, list(totals), Update(assign={"pruned": pruned}))
