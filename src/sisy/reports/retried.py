"""The runs that people have already retried, so that nobody repeats all of them by accident.

No index leads from a run to its retries. They are runs of the same task, so they are looked for
among the newest runs of each task.
"""

from collections.abc import Collection, Iterator
from itertools import islice

from sisy.models import Origin, Run
from sisy.store.reports import newest_keys

MAX_READ = 10_000  # newest runs of the tasks, together
TASKS_AT_ONCE = 50  # in one statement


def without_retried(using: str, runs: Collection[Run]) -> list[Run]:
    """Return ``runs`` without those that people have retried, whatever came of the retry.

    A retry that has failed is a run of its own: if it is among ``runs``, it stays.
    """
    retried = {run.retry_of_id for run in runs} | set(_retried(using, runs))
    return [run for run in runs if run.pk not in retried]


def _retried(using: str, runs: Collection[Run]) -> Iterator[int | None]:
    tasks = {run.task_id for run in runs if run.task_id is not None}
    if not tasks:
        return
    each = max(1, MAX_READ // len(tasks))
    left = iter(sorted(tasks))
    while some := list(islice(left, TASKS_AT_ONCE)):
        newest = Run.objects.using(using).filter(pk__in=newest_keys(using, some, each))
        retries = newest.filter(origin=Origin.RETRY).order_by()
        yield from retries.values_list("retry_of_id", flat=True)
