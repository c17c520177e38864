"""The message of an action to its user, and its entry in the admin's log."""

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import messages
from django.db import models
from django.utils.translation import gettext


@dataclass(frozen=True, slots=True)
class Result:
    """A sentence about what was done, with one of the levels of Django's messages."""

    words: str
    level: int = messages.SUCCESS


def done(words: str, count: int) -> Result:
    """Return a sentence about ``count`` things; that nothing was done is a warning."""
    return Result(words, messages.SUCCESS if count else messages.WARNING)


def refusal(error: ValueError) -> str:
    """Return what a refusal says.

    One that quotes what the import of somebody's module raised names its class only: whoever may
    act need not be allowed to read the texts of errors.
    """
    if error.__cause__ is None:
        return str(error)
    cause = type(error.__cause__).__name__
    return gettext("Cannot import the callable: %s.") % cause


def note(user: Any, row: models.Model, what: str) -> None:
    """Write into the admin's log, where there is one, who did what with a row."""
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
