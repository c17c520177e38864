"""The state of a site in one line, and the order in which people read its problems."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.translation import gettext, ngettext

from sisy.reports.alerts.alert import Kind, Severity
from sisy.reports.alerts.group import AlertGroup


def problems_in(groups: Sequence[AlertGroup]) -> list[AlertGroup]:
    """Return those that count as problems.

    A deliberate act, such as pausing a queue, is listed, but is not a problem.
    """
    return [group for group in groups if group.severity != Severity.INFO]


def in_words(groups: Sequence[AlertGroup], now: datetime) -> str:
    """Return how many problems there are, and how many are left to handle; empty if none."""
    problems = problems_in(groups)
    number = sum(group.number for group in problems)
    if not number:
        return ""
    words = ngettext("%d problem", "%d problems", number) % number
    handled = []
    if known := sum(group.is_acknowledged for group in problems):
        handled.append(ngettext("%d acknowledged", "%d acknowledged", known) % known)
    if muted := sum(group.muted_until(now) is not None for group in problems):
        handled.append(ngettext("%d muted", "%d muted", muted) % muted)
    if not handled:
        return words
    left = sum(group.number for group in problems if not group.is_handled(now))
    rest = (
        ngettext("%d to handle", "%d to handle", left) % left
        if left
        else gettext("none to handle")
    )
    return f"{words}, {rest} ({', '.join(handled)})"


def first_since(groups: Sequence[AlertGroup]) -> datetime | None:
    """Return when the first of the problems began, whether people have handled it or not."""
    return min((group.since for group in problems_in(groups) if group.since), default=None)


def by_need(groups: Sequence[AlertGroup], now: datetime) -> list[AlertGroup]:
    """Return open problems first, then handled ones, then paused queues, and then the rest."""
    return sorted(groups, key=lambda group: _need(group, now))


def _need(group: AlertGroup, now: datetime) -> int:
    if group.severity == Severity.INFO:
        return 2 if group.lead.kind == Kind.QUEUE_PAUSED else 3 if group.will_recur else 4
    return int(group.is_handled(now))
