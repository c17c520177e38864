"""The options that choose runs, and the search that they mean."""

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from sisy.exceptions import did_you_mean
from sisy.management import lookup, moments
from sisy.management.arguments import invalid, one_of
from sisy.management.unknown_names import MAX_NAMES_COMPARED
from sisy.models import Origin, Process, RunState
from sisy.reports import formatting
from sisy.reports.run_search import RunSearch, processes_named
from sisy.runtime import durations

TITLE = "filters"
FILTERS = ("since", "until", "state", "queue", "task", "function", "origin", "worker", "text")


def add_filters(parser: ArgumentParser) -> None:
    """Add an option for each field of a search."""
    group = parser.add_argument_group(TITLE)
    group.add_argument(
        "--since",
        metavar="WHEN",
        help=f"runs that ended after WHEN, or have not ended; WHEN is {moments.FORMS}",
    )
    group.add_argument("--until", metavar="WHEN", help="runs that were planned before WHEN")
    group.add_argument(
        "--state",
        action="append",
        type=one_of(RunState.values, RunState.choices),
        choices=RunState.values,
        metavar="STATE",
        help=f"one of {', '.join(RunState.values)} (repeatable)",
    )
    group.add_argument("--queue", action="append", metavar="QUEUE", help="a queue (repeatable)")
    group.add_argument(
        "--task", metavar="TASK", help="key, name or label of a task, even of a deleted one"
    )
    group.add_argument(
        "--function", metavar="PATH", help="dotted path, or its end, such as jobs.import_products"
    )
    group.add_argument(
        "--origin",
        action="append",
        type=one_of(Origin.values, Origin.choices),
        choices=Origin.values,
        metavar="ORIGIN",
        help=f"one of {', '.join(Origin.values)} (repeatable)",
    )
    group.add_argument("--worker", metavar="WORKER", help="a host, or a worker such as 71@web-1")
    group.add_argument("--text", metavar="TEXT", help="a part of the reason or the error")


def has_filters(options: Mapping[str, Any]) -> bool:
    """Return whether any filter was given."""
    return any(options.get(name) for name in FILTERS)


def search_of(options: Mapping[str, Any], using: str, now: datetime) -> RunSearch:
    """Return the search that the options mean.

    Raises:
        CommandError: a value is not valid, or names nothing that exists.
    """
    refuse_empty(options, FILTERS)
    zone = timezone.get_default_timezone_name()
    since, until = (
        moments.past(options[name], zone, now) if options[name] else None
        for name in ("since", "until")
    )
    if since is not None and until is not None:
        texts = options["since"], options["until"]
        since, until = moments.past_between(*texts, zone, now, ("--since", "--until"))
    if since is not None and since > now:
        raise invalid(
            f"--since is in the future: {durations.in_zone(since, formatting.zone_named(zone))}. "
            "To see what is due then: manage.py sisy_simulate"
        )
    tasks, label = lookup.tasks_named(options["task"], using) if options["task"] else ((), "")
    worker = options["worker"]
    return RunSearch(
        since=since,
        until=until,
        states=tuple(dict.fromkeys(options["state"] or ())),
        queues=tuple(dict.fromkeys(options["queue"] or ())),
        tasks=tasks,
        label=label,
        function=options["function"] or "",
        origins=tuple(dict.fromkeys(options["origin"] or ())),
        processes=_processes(worker, using) if worker else None,
        text=(options["text"] or "").replace("\0", ""),
    )


def refuse_empty(options: Mapping[str, Any], names: Iterable[str]) -> None:
    """Reject a filter without a value, such as that of a shell variable that is not set.

    Raises:
        CommandError: a filter is empty, so that it would choose everything.
    """
    for name in names:
        value = options.get(name)
        if value == "" or (isinstance(value, list) and "" in value):
            raise invalid(f"--{name} is empty. Give it a value, or leave it out.")


def _processes(name: str, using: str) -> tuple[int, ...]:
    if found := processes_named(using, name):
        return found
    known = Process.all_objects.using(using).order_by("-pk")[:MAX_NAMES_COMPARED]
    names = {each.host for each in known} | {f"{each.pid}@{each.host}" for each in known}
    hint = did_you_mean(name, names) or " Run 'manage.py sisy_workers list' to see all workers."
    raise CommandError(f"No host or worker is named {name!r}.{hint}")
