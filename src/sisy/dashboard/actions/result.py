"""The message of an action to its user, and its entry in the admin's log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.contrib import messages
from django.db import models
from django.utils.translation import gettext, ngettext

from sisy.models import Origin
from sisy.reports import formatting


@dataclass(frozen=True, slots=True)
class Link:
    """A page to which a message leads, by its name and the keys in its address.

    Attributes:
        anchor: the part of the page; empty for its beginning.
        query: the parameters of the address.
    """

    page: str
    keys: tuple[int, ...]
    words: str
    anchor: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The message of an action, with a level of Django's messages."""

    words: str
    level: int = messages.SUCCESS
    link: Link | None = None


def done(words: str, count: int, link: Link | None = None) -> Result:
    """Return a success message, or a warning if ``count`` is 0."""
    return Result(words, messages.SUCCESS if count else messages.WARNING, link)


def to_runs(pks: Sequence[int], origin: Origin) -> Link | None:
    """Return a link to the run or the runs that an action has submitted; None for none."""
    if not pks:
        return None
    if len(pks) == 1:
        return Link("run", (pks[0],), gettext("Open run #%d") % pks[0])
    return to_submitted(origin)


def to_submitted(origin: Origin) -> Link:
    """Return a link to the runs of an origin that were submitted now, or have not ended."""
    # A second earlier, because the clock of the database may be a little behind.
    since = (formatting.now() - timedelta(seconds=1)).isoformat(timespec="seconds")
    query = urlencode({"origin": origin.value, "start": since})
    return Link("runs", (), gettext("Open the runs"), query=query)


def submitted(count: int) -> str:
    """Return how many runs an action has submitted."""
    if not count:
        return gettext("No runs were submitted.")
    return ngettext("Submitted %d run.", "Submitted %d runs.", count) % count


def refusal(error: ValueError) -> str:
    """Return the message of an error.

    If an import raised it, only the class of that error is named: users who may act need not have
    the permission to read the texts of errors.
    """
    if error.__cause__ is None:
        return str(error)
    cause = type(error.__cause__).__name__
    return gettext("Cannot import the function: %s.") % cause


def note(user: Any, row: models.Model, what: str) -> None:
    """Add an entry to the admin's log, if the admin is installed."""
    if not apps.is_installed("django.contrib.admin") or user.pk is None:
        return
    from django.contrib.admin.models import CHANGE, LogEntry

    LogEntry.objects.log_actions(
        user_id=user.pk,
        queryset=[row],
        action_flag=CHANGE,
        change_message=what,
        single_object=True,
    )
