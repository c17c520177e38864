"""The states of queues, workers and alerts in a word, with the look of each."""

from sisy.alerting.capacity import Fleet
from sisy.management.table import Look
from sisy.reports.fleet import Member
from sisy.reports.queues import QueueStats

SEVERITIES = {"critical": "bad", "error": "bad", "warning": "warn"}
"""The look of each severity of an alert."""


def severity(value: str) -> str:
    """Return the severity of an alert, with its look."""
    return Look(value, SEVERITIES.get(value, ""))


def state_of_queue(queue: QueueStats, fleet: Fleet) -> str:
    """Return whether workers start the runs of a queue."""
    if queue.paused_at:
        return Look("paused", "warn")
    if not fleet.serving(queue.name):
        return Look("no worker", "bad" if queue.queued else "quiet")
    if not fleet.claiming(queue.name):
        return Look("draining", "bad" if queue.queued else "warn")
    return Look("full", "warn") if fleet.fullness(queue.name) else Look("ok", "good")


def state_of_worker(member: Member) -> str:
    """Return whether a worker starts runs."""
    if member.is_silent:
        return Look("unresponsive", "bad")
    if member.process.problem:
        return Look("problem", "bad")
    if member.process.drain_requested_at:
        return Look("draining", "warn")
    return Look("up", "good")


def name_of_worker(member: Member) -> str:
    """Return the name that people use for a worker, such as "71@web-1"."""
    return f"{member.process.pid}@{member.process.host}"
