"""The actions on alerts. Each is logged, with who did it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext, ngettext

from sisy.dashboard.actions.result import Link, Result, done, note
from sisy.models.alert import AlertQuerySet
from sisy.reports import formatting
from sisy.reports.alerts.closed import LISTED_IF_CLOSED

MUTE_HOURS = (1, 8, 24, 168)
"""The hours for which people can mute an alert."""


def acknowledge(user: Any, alerts: AlertQuerySet) -> Iterator[Result]:
    """Record that the user handles the alerts."""
    count = _each(
        user, alerts, lambda one: one.acknowledge(str(user), formatting.now()), "Acknowledged."
    )
    words = ngettext("Acknowledged %d alert.", "Acknowledged %d alerts.", count) % count
    if count == 1 and len(alerts) == 1:
        words = gettext("Acknowledged: %s.") % alerts[0]
    nothing = gettext("Nothing to acknowledge: it is already acknowledged or closed.")
    yield done(words if count else nothing, count, _to_the_first(alerts) if count else None)


def unacknowledge(user: Any, alerts: AlertQuerySet) -> Iterator[Result]:
    """Undo `acknowledge`."""
    count = _each(user, alerts, lambda one: one.unacknowledge(), "No longer acknowledged.")
    words = ngettext(
        "%d alert is no longer acknowledged.", "%d alerts are no longer acknowledged.", count
    )
    yield done(
        words % count if count else gettext("Nothing to undo: no alert was acknowledged."), count
    )


def mute(user: Any, alerts: AlertQuerySet, hours: int = MUTE_HOURS[0]) -> Iterator[Result]:
    """Send no messages about the alerts for some hours."""
    until = formatting.now() + timedelta(hours=hours)
    span = formatting.span(timedelta(hours=hours))
    count = _each(user, alerts, lambda one: one.mute(until, str(user)), f"Muted for {span}.")
    words = ngettext(
        "Muted %(count)d alert for %(span)s.", "Muted %(count)d alerts for %(span)s.", count
    )
    words %= {"count": count, "span": span}
    nothing = gettext("Nothing to mute: it is already muted, or does not exist any more.")
    yield done(words if count else nothing, count, _to_the_first(alerts) if count else None)


def unmute(user: Any, alerts: AlertQuerySet) -> Iterator[Result]:
    """Send messages about the alerts again."""
    count = _each(user, alerts, lambda one: one.unmute(formatting.now()), "Unmuted.")
    words = ngettext("Unmuted %d alert.", "Unmuted %d alerts.", count) % count
    yield done(words if count else gettext("Nothing to unmute."), count)


def close(user: Any, alerts: AlertQuerySet) -> Iterator[Result]:
    """Close the alerts. The same problem opens one again only with new evidence."""
    count = _each(user, alerts, lambda one: one.close(str(user), formatting.now()), "Closed.")
    words = ngettext("Closed %d alert.", "Closed %d alerts.", count) % count
    link = _to_the_first(alerts, is_closed=True) if count else None
    yield done(words if count else gettext("Nothing to close."), count, link)


def reopen(user: Any, alerts: AlertQuerySet) -> Iterator[Result]:
    """Undo `close`."""
    count = _each(user, alerts, lambda one: one.reopen(), "Reopened.")
    words = ngettext("Reopened %d alert.", "Reopened %d alerts.", count) % count
    nothing = gettext("Nothing to reopen: it is open, or another alert about its problem is.")
    yield done(words if count else nothing, count, _to_the_first(alerts) if count else None)


def _to_the_first(alerts: AlertQuerySet, *, is_closed: bool = False) -> Link:
    """Return a link to where the first of some alerts is now, with the button that undoes this."""
    first = min(alerts, key=lambda alert: alert.pk)
    # Once an alert is closed, the overview finds the problems of some kinds only.
    page = "alerts" if is_closed and first.kind not in LISTED_IF_CLOSED else "overview"
    return Link(page, (), gettext("Show"), f"record-{first.pk}")


def _each(
    user: Any, alerts: AlertQuerySet, change: Callable[[AlertQuerySet], int], what: str
) -> int:
    """Change each alert, log it, and return how many were changed."""
    count = 0
    for alert in alerts:
        if change(alerts.model._default_manager.using(alerts.db).filter(pk=alert.pk)):
            note(user, alert, what)
            count += 1
    return count
