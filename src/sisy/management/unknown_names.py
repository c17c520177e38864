"""Names in filters that nothing has, each with what was probably meant."""

from collections.abc import Iterable
from datetime import datetime

from sisy.exceptions import did_you_mean
from sisy.management import lookup
from sisy.models import Task
from sisy.reports.queue_names import queues_of
from sisy.reports.queues import queues
from sisy.reports.run_search import RunSearch, find

MAX_NAMES_COMPARED = 5000  # names that are compared for a suggestion


def in_search(search: RunSearch, using: str, now: datetime) -> str:
    """Return which name in a search that found nothing is unknown; empty if none is.

    Other runs, which another filter of the search leaves out, may have the name of a deleted task
    or of its queue.
    """
    if search.label:
        if _has_runs(using, RunSearch(label=search.label)):
            return ""
        similar = lookup.similar_label(search.label, using)
        return f" No task has the key, name or label {search.label!r}.{similar}"
    if search.function and (words := _unknown_function(search.function, using)):
        return words
    return in_queues(search.queues, using, now)


def in_queues(names: Iterable[str], using: str, now: datetime) -> str:
    """Return which of some queues no task, run or worker uses; empty if they all are used."""
    known: set[str] = set()
    for name in names:
        known = known or {
            *queues_of(Task.objects.using(using)),
            *(queue.name for queue in queues(using, now)),
        }
        if name not in known and not _has_runs(using, RunSearch(queues=(name,))):
            hint = did_you_mean(name, sorted(known))
            return f" No task, run or worker uses a queue named {name!r}.{hint}"
    return ""


def _has_runs(using: str, search: RunSearch) -> bool:
    return bool(find(using, search, most=1).runs)


def _unknown_function(function: str, using: str) -> str:
    paths = Task.objects.using(using).order_by().values_list("target_path", flat=True)
    known = set(paths.distinct()[:MAX_NAMES_COMPARED])
    if any(f".{path}".endswith(f".{function}") for path in known):
        return ""
    if _has_runs(using, RunSearch(function=function)):
        return ""
    ends = {end for path in known for end in (path, path.rpartition(".")[2])}
    return f" No task calls {function!r}.{did_you_mean(function, ends)}"
