"""The message of an action to its user, and its entry in the admin's log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import messages
from django.db import models
from django.utils.translation import gettext, ngettext


@dataclass(frozen=True, slots=True)
class Link:
    """A page to which a message leads, by its name and the keys in its address.

    Attributes:
        anchor: the part of the page; empty for its beginning.
    """

    page: str
    keys: tuple[int, ...]
    words: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The message of an action, with a level of Django's messages."""

    words: str
    level: int = messages.SUCCESS
    link: Link | None = None


def done(words: str, count: int, link: Link | None = None) -> Result:
    """Return a success message, or a warning if ``count`` is 0."""
    return Result(words, messages.SUCCESS if count else messages.WARNING, link)


def to_run(pks: Sequence[int]) -> Link | None:
    """Return a link to the run that an action has submitted; None if there is not just one."""
    return Link("run", (pks[0],), gettext("Open run #%d") % pks[0]) if len(pks) == 1 else None


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
