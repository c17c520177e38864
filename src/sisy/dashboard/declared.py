"""The texts about declared tasks."""

from django.utils.translation import gettext

from sisy.models import Task
from sisy.models.declared import USERDATA_COLUMN, Override
from sisy.reports import formatting

EMPTY = "—"


def in_words(task: Task) -> str:
    """Return where a task is or was declared; empty if it never was."""
    if task.is_declared:
        return gettext("in code, as %s") % task.name
    if task.undeclared_at is not None:
        return gettext("no longer (since %s)") % formatting.short(task.undeclared_at)
    if task.name is not None:
        return gettext("in a migration, as %s") % task.name
    return ""


def overrides_in_words(task: Task) -> list[str]:
    """Return a line for each field that was changed by hand, without the values of user data."""
    return [_in_words(task, one) for one in task.overrides()]


def _in_words(task: Task, one: Override) -> str:
    name = str(getattr(task._meta.get_field(one.field), "verbose_name", one.field))
    if one.field == USERDATA_COLUMN:
        return gettext("%s: changed") % name
    words = {"field": name, "own": _shown(one.own), "code": _shown(one.code)}
    return gettext("%(field)s: %(own)s instead of %(code)s") % words


def _shown(value: object) -> str:
    return EMPTY if value in (None, "") else str(value)
