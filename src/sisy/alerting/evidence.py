"""Note further evidence of problems that have an open alert already.

A run that ended badly is judged once. If its problem has an open alert, it opens none, so that
alert must not close for a reason that was found before the run was judged. So the run becomes the
evidence of the alert, and an alert closes only with the evidence that was known when it was found
to be over: see `sisy.alerting.opening.close_alerts`.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from sisy.alerting.problem import of_call, of_task, open_key
from sisy.models import Alert, Run, RunState, Task
from sisy.records.problems import Kind
from sisy.store.bulk import Update, update_rows

STREAK_KINDS = (Kind.FAILING, Kind.LOST, Kind.BROKEN)
"""A task has at most one alert of these kinds. It is over when a run succeeds."""

Key = TypeVar("Key", int, str)
Runs = Mapping[Key, Sequence[Run]]
"""Runs by the key of their task, or by the function that they call, the newest first."""


def by_subject(
    runs: Sequence[Run], tasks: Mapping[int, Task]
) -> tuple[Runs[int], Runs[int], Runs[str]]:
    """Return the failed runs of tasks, their missed occurrences, and the runs of functions."""
    failed: dict[int, list[Run]] = defaultdict(list)
    missed: dict[int, list[Run]] = defaultdict(list)
    called: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        task = tasks.get(run.task_id or 0)
        if run.state == RunState.MISSED:
            if task is not None:
                missed[task.pk].append(run)
        elif task is None or not task.schedule:
            called[run.target_path].append(run)
        else:
            failed[task.pk].append(run)
    return failed, missed, called


def note_evidence(using: str, failed: Runs[int], missed: Runs[int], called: Runs[str]) -> set[str]:
    """Note the newest of these runs in the alerts that are open. Return the keys of the alerts.

    Call it in the transaction that notes that these runs were judged. Until its end, no other
    heartbeat closes these alerts.
    """
    newest = {open_key(Kind.MISSED, of_task(pk)): runs[0].pk for pk, runs in missed.items()}
    for kind in STREAK_KINDS:
        newest |= {open_key(kind, of_task(pk)): runs[0].pk for pk, runs in failed.items()}
        newest |= {open_key(kind, of_call(path)): runs[0].pk for path, runs in called.items()}
    if not newest:
        return set()
    alerts = Alert.objects.using(using).filter(open_key__in=list(newest)).order_by("pk")
    # All of them in one statement, in the order of their keys, so that heartbeats cannot deadlock.
    locked = list(alerts.select_for_update().values_list("pk", "open_key", "evidence"))
    # A collation that ignores case finds others, too.
    later = {pk: newest[key] for pk, key, known in locked if key in newest and known < newest[key]}
    if later:
        update_rows(using, Alert, list(later), Update(assign={"evidence": list(later.values())}))
    return {key for _, key, _ in locked if key in newest}


def without(
    runs: Runs[Key], known: Collection[str], kind: Kind, of: Callable[[Key], str]
) -> Runs[Key]:
    """Return the runs of those that have no open alert of a kind."""
    return {key: some for key, some in runs.items() if open_key(kind, of(key)) not in known}
