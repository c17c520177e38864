"""The runs that people have already retried or backfilled, so that none is repeated by mistake.

No index leads from a run to those that repeat it. They are runs of the same task, so they are
looked for among the newest runs of each task.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import islice

from django.utils.translation import gettext

from sisy.models import Origin, Run
from sisy.store.reports import newest_keys

REPEATS = (Origin.RETRY, Origin.BACKFILL)
MAX_READ = 10_000  # newest runs of the tasks, together
TASKS_AT_ONCE = 50  # in one statement

Occurrence = tuple[int | None, datetime | None]
"""The key of a task, and when it was due."""


def repeats_of(using: str, runs: Collection[Run]) -> dict[int, Run]:
    """Return, by the keys of the runs that people have repeated, the newest repeat of each.

    A retry repeats the run that it names, and any run of its occurrence; so does a backfill. One
    that has failed counts, too.
    """
    newest: dict[int | Occurrence | None, Run] = {}
    for repeat in sorted(_repeats(using, runs), key=lambda run: run.pk):
        newest[repeat.retry_of_id] = newest[repeat.task_id, repeat.occurrence_at] = repeat
    found = {}
    for run in runs:
        occurrence = run.task_id, run.occurrence_at or run.due_at
        known = [newest.get(run.pk)]
        # A row of several missed occurrences begins with the first of them.
        if occurrence[1] is not None and run.count == 1:
            known.append(newest.get(occurrence))
        later = [repeat for repeat in known if repeat is not None and repeat.pk > run.pk]
        if later:
            found[run.pk] = max(later, key=lambda repeat: repeat.pk)
    return found


def repeated_in_words(repeats: Mapping[int, Run]) -> list[str]:
    """Return a sentence about each run that was repeated, and what came of that."""
    words = gettext("Run %(run)d was already rerun as run %(again)d (%(state)s).")
    return [
        words % {"run": pk, "again": again.pk, "state": again.get_state_display()}
        for pk, again in repeats.items()
    ]


def _repeats(using: str, runs: Collection[Run]) -> list[Run]:
    """Return the repeats among the newest runs of the tasks of ``runs``."""
    tasks = {run.task_id for run in runs if run.task_id is not None}
    each = max(1, MAX_READ // max(1, len(tasks)))
    found: list[Run] = []
    left = iter(sorted(tasks))
    while some := list(islice(left, TASKS_AT_ONCE)):
        newest = Run.objects.using(using).filter(pk__in=newest_keys(using, some, each))
        found += (
            newest.filter(origin__in=REPEATS)
            .order_by()
            .only("task_id", "label", "state", "retry_of_id", "occurrence_at", "due_at")
        )
    return found
