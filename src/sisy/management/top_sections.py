"""The parts of ``sisy_top``: the same rows on a live screen, in plain text and in JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import ngettext

from sisy.management.alert_text import fix_of
from sisy.management.looks import name_of_worker, severity, state_of_queue, state_of_worker
from sisy.management.output import counted
from sisy.management.run_text import line_of, progress_in_words, took
from sisy.management.table import Look, shown
from sisy.models import Run
from sisy.records.problems import Kind
from sisy.reports import formatting
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.fleet import Member
from sisy.reports.glance import Glance
from sisy.reports.queues import QueueStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the screen.

    Attributes:
        name: identifies it.
        rows: what it shows, one mapping of texts for each row.
        keys: what each row represents: keys of alerts or runs, the name of a queue or a worker.
        empty: the text if there are no rows.
    """

    name: str
    title: str
    rows: list[dict[str, Any]]
    keys: list[str]
    empty: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The whole screen: the line of state, and its parts."""

    headline: str
    sections: Sequence[Section]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action on a row.

    Attributes:
        section: the part whose rows it changes.
        question: returns what to ask first, by the row's key.
        do: does it to a row by its key, and returns what to say about it.
    """

    section: str
    question: Callable[[str], str]
    do: Callable[[str], str]


def headline(glance: Glance) -> str:
    """Return the line of state."""
    heartbeats, workers = len(glance.fleet.heartbeats), len(glance.fleet.workers)
    number = sum(queue.queued for queue in glance.queues)
    queued = counted(number, is_all=all(queue.is_all for queue in glance.queues))
    parts = [
        ngettext("%d heartbeat", "%d heartbeats", heartbeats) % heartbeats,
        ngettext("%d worker", "%d workers", workers) % workers,
        f"{glance.used}/{glance.slots} running",
        f"{shown(queued)} queued",
    ]
    state = Look(glance.state, "good" if glance.is_clear else "bad")
    return Look(f"{state} · {' · '.join(parts)}", state.look)


def sections(glance: Glance) -> list[Section]:
    """Return the parts of the screen, the most urgent first."""
    running, failures = glance.running, glance.failures
    return [
        _section(
            "alerts",
            [_alert(group, glance) for group in glance.groups],
            [",".join(str(record.pk) for record in group.records) for group in glance.groups],
            "No open alerts.",
        ),
        _section(
            "queues",
            [_queue(queue, glance) for queue in glance.queues],
            [queue.name for queue in glance.queues],
            "No queues yet.",
        ),
        _section(
            "workers",
            [_worker(member, glance) for member in glance.members],
            [name_of_worker(member) for member in glance.members],
            "No workers are running. To start one: manage.py sisy_worker",
        ),
        _section(
            "running",
            [_running(run, glance) for run in running],
            [str(run.pk) for run in running],
            "Nothing is running.",
        ),
        _section(
            "failures",
            [line_of(run, glance.now) for run in failures],
            [str(run.pk) for run in failures],
            "No runs have failed.",
        ),
    ]


def _section(
    name: str, rows: Sequence[dict[str, Any]], keys: Sequence[str], empty: str
) -> Section:
    title = "Latest failures" if name == "failures" else name.capitalize()
    return Section(name=name, title=title, rows=list(rows), keys=list(keys), empty=empty)


def _alert(group: AlertGroup, glance: Glance) -> dict[str, Any]:
    about = f"{group.what}: " if group.what else ""
    since = None if group.lead.is_over else group.since
    return {
        "severity": severity(group.severity.value),
        "since": formatting.distance(since, glance.now) if since else "",
        "acknowledged": group.acknowledged,
        "problem": f"{about}{group.why}",
        "fix": fix_of(group) or _before_a_worker_starts(group, glance),
    }


def _before_a_worker_starts(group: AlertGroup, glance: Glance) -> str:
    """Return where to read which queued runs a new worker would skip, if several are queued."""
    if group.lead.kind != Kind.NO_WORKER:
        return ""
    queues = {queue for alert in group.alerts for queue in alert.queues}
    several = any(each.name in queues and each.queued > 1 for each in glance.queues)
    if not several:
        return ""
    return "Before you start a worker, see which runs it would skip: manage.py sisy_queues list"


def _queue(queue: QueueStats, glance: Glance) -> dict[str, Any]:
    return {
        "queue": queue.name,
        "state": state_of_queue(queue, glance.fleet),
        "queued": counted(queue.queued, is_all=queue.is_all),
        "oldest": formatting.distance(queue.oldest, glance.now) if queue.oldest else "",
        "running": queue.running,
        "slots": queue.slots,
    }


def _worker(member: Member, glance: Glance) -> dict[str, Any]:
    return {
        "worker": name_of_worker(member),
        "state": state_of_worker(member),
        "queues": ", ".join(member.process.queues),
        "runs": len(member.runs),
        "slots": member.process.slots,
        "since": formatting.distance(member.process.started_at, glance.now),
    }


def _running(run: Run, glance: Glance) -> dict[str, Any]:
    progress = glance.progress.get(run.pk)
    return {
        "run": run.pk,
        "task": run.label,
        "for": took(run, glance.now).removesuffix(" …"),
        "progress": progress_in_words(progress) if progress else "",
    }
